package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// certificate says from when until when a key signs the checkpoints of a log.
type certificate struct {
	key                 note.Verifier
	notBefore, notAfter time.Time
}

// epochs are the certificates of a log that its identity key has signed.
type epochs struct {
	origin       string
	certificates []certificate
}

func openCertificates(dir, identity string) (*epochs, error) {
	verifier, err := note.NewVerifier(identity)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "keys", "epoch-*.note"))
	if err != nil {
		return nil, err
	}
	found := &epochs{origin: verifier.Name()}
	for _, file := range files {
		one, err := openCertificate(file, verifier)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		found.certificates = append(found.certificates, one)
	}
	return found, nil
}

func openCertificate(file string, identity note.Verifier) (certificate, error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return certificate{}, err
	}
	opened, err := note.Open(message, note.VerifierList(identity))
	if err != nil {
		return certificate{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 7 || lines[0] != "cedar-pdp epoch key v1" || lines[1] != identity.Name() || lines[6] != "" {
		return certificate{}, errors.New("malformed text")
	}
	if number, err := strconv.ParseUint(lines[2], 10, 53); err != nil || strconv.FormatUint(number, 10) != lines[2] {
		return certificate{}, errors.New("malformed number")
	}
	key, err := note.NewVerifier(lines[3])
	if err != nil {
		return certificate{}, err
	}
	notBefore, err1 := time.Parse(time.RFC3339, lines[4])
	notAfter, err2 := time.Parse(time.RFC3339, lines[5])
	if err := errors.Join(err1, err2); err != nil {
		return certificate{}, err
	}
	if key.Name() != identity.Name() || !notBefore.Before(notAfter) {
		return certificate{}, errors.New("another log's key, or no time at which it counts")
	}
	return certificate{key, notBefore, notAfter}, nil
}

// policy accepts checkpoints of this log that at least one epoch key has signed.
func (e *epochs) policy() torchwood.Policy {
	keys := make([]torchwood.Policy, 0, len(e.certificates))
	for _, one := range e.certificates {
		keys = append(keys, torchwood.SingleVerifierPolicy(one.key))
	}
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(e.origin), torchwood.ThresholdPolicy(1, keys...))
}

// openCheckpoint opens a checkpoint that an epoch key has signed which was valid at the checkpoint's time.
func openCheckpoint(file string, epochs *epochs) (torchwood.Checkpoint, error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	return parseCheckpoint(message, epochs)
}

func parseCheckpoint(message []byte, epochs *epochs) (torchwood.Checkpoint, error) {
	head, opened, err := torchwood.VerifyCheckpoint(message, epochs.policy())
	if err != nil {
		return head, err
	}
	text, found := strings.CutPrefix(strings.TrimSuffix(head.Extension, "\n"), "time ")
	millis, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !found {
		return head, fmt.Errorf("malformed extension lines %q", head.Extension)
	}
	at := time.UnixMilli(millis)
	for _, signature := range opened.Sigs {
		for _, one := range epochs.certificates {
			signed := one.key.Name() == signature.Name && one.key.KeyHash() == signature.Hash
			if signed && !at.Before(one.notBefore) && !at.After(one.notAfter) {
				return head, nil
			}
		}
	}
	return head, errors.New("it is not of the time of the key that signed it")
}
