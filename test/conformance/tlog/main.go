// Command tlogcheck checks a decision log with implementations of the transparency log formats that are not ours:
// golang.org/x/mod/sumdb (trees, tiles, notes) and filippo.io/torchwood (checkpoints, tlog-proof files).
//
// It starts from the verifier key of the log's identity and believes nothing else that is in the folder.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	identity := flag.String("identity", "", "vkey of the identity key")
	proofs := flag.String("proofs", "", "folder of *.tlog-proof files to check")
	older := flag.String("older", "", "an older checkpoint that the log must be consistent with")
	consistency := flag.String("consistency", "", "the consistency proof for it: one base64 hash per line")
	pruned := flag.Bool("pruned", false, "the oldest segments, and the tiles of their leaves, may be gone")
	flag.Parse()
	if flag.NArg() != 1 || *identity == "" || (*older == "") != (*consistency == "") {
		fmt.Fprintln(os.Stderr, "usage: tlogcheck -identity VKEY [-proofs DIR] [-older FILE -consistency FILE] [-pruned] LOG")
		os.Exit(2)
	}
	summary, err := check(flag.Arg(0), *identity, *proofs, *older, *consistency, *pruned)
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
	fmt.Println("OK:", summary)
}

func check(dir, identity, proofs, older, consistency string, pruned bool) (string, error) {
	epochs, err := openCertificates(dir, identity)
	if err != nil {
		return "", fmt.Errorf("epoch certificate: %w", err)
	}
	head, err := openCheckpoint(filepath.Join(dir, "checkpoint"), epochs)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	lines, err := readLines(dir, pruned)
	if err != nil {
		return "", fmt.Errorf("lines: %w", err)
	}
	if err := checkLines(dir, head, lines); err != nil {
		return "", err
	}
	count, err := checkProofs(proofs, epochs, lines)
	if err != nil {
		return "", fmt.Errorf("tlog-proof: %w", err)
	}
	if err := checkConsistency(older, consistency, epochs, head); err != nil {
		return "", fmt.Errorf("consistency: %w", err)
	}
	return fmt.Sprintf("%d lines, %d proofs, %d epochs", len(lines.leaves), count, len(epochs.certificates)), nil
}

// checkLines checks that every line is the one that the tiles hold, and is in the checkpoint's tree: by an inclusion proof made
// from the tiles.
func checkLines(dir string, head torchwood.Checkpoint, lines *lineHashes) error {
	if int64(lines.next()) != head.N {
		return fmt.Errorf("lines: they end at %d, and the checkpoint is over %d", lines.next(), head.N)
	}
	hashes, err := readHashes(dir, head.Tree, lines.first)
	if err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	for at, leaf := range lines.leaves {
		if err := checkLine(int64(lines.first+at), leaf, head, hashes); err != nil {
			return fmt.Errorf("line %d: %w", lines.first+at, err)
		}
	}
	return nil
}

func checkLine(index int64, leaf tlog.Hash, head torchwood.Checkpoint, hashes tlog.HashReader) error {
	stored, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return err
	}
	if stored[0] != leaf {
		return errors.New("its tile has another hash")
	}
	proof, err := tlog.ProveRecord(head.N, index, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, head.N, head.Hash, index, leaf)
}

func checkConsistency(older, consistency string, epochs *epochs, head torchwood.Checkpoint) error {
	if older == "" {
		return nil
	}
	old, err := openCheckpoint(older, epochs)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(consistency)
	if err != nil {
		return err
	}
	proof, err := parseHashes(string(text))
	if err != nil {
		return err
	}
	if old.N == 0 {
		return errors.New("the older checkpoint is empty")
	}
	return tlog.CheckTree(tlog.TreeProof(proof), head.N, head.Hash, old.N, old.Hash)
}
