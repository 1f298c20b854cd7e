package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

var segmentName = regexp.MustCompile(`^segment-(\d{20})\.ndjson(\.gz)?$`)

// lineHashes are the leaf hashes of the lines of a log, of which the oldest may be gone.
type lineHashes struct {
	first  int
	leaves []tlog.Hash
}

func (l *lineHashes) next() int { return l.first + len(l.leaves) }

// at gives the leaf hash of a line by its index.
func (l *lineHashes) at(index int) (tlog.Hash, error) {
	if index < l.first || index >= l.next() {
		return tlog.Hash{}, fmt.Errorf("line %d is not there", index)
	}
	return l.leaves[index-l.first], nil
}

// readLines hashes every line of every segment, in order.
func readLines(dir string, pruned bool) (*lineHashes, error) {
	files, err := filepath.Glob(filepath.Join(dir, "segment-*.ndjson*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	lines := &lineHashes{}
	for at, file := range files {
		match := segmentName.FindStringSubmatch(filepath.Base(file))
		if match == nil {
			return nil, fmt.Errorf("%s: not the name of a segment", filepath.Base(file))
		}
		first, err := strconv.Atoi(match[1])
		if err != nil {
			return nil, err
		}
		if at == 0 && pruned {
			lines.first = first
		}
		if first != lines.next() {
			return nil, fmt.Errorf("%s: line %d would be next", filepath.Base(file), lines.next())
		}
		if err := lines.readSegment(file); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	return lines, nil
}

func (l *lineHashes) readSegment(file string) error {
	content, err := readSegment(file)
	if err != nil {
		return err
	}
	lines := bytes.Split(content, []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) != 0 {
		return errors.New("the last line is torn")
	}
	for _, line := range lines[:len(lines)-1] {
		l.leaves = append(l.leaves, tlog.RecordHash(line))
	}
	return nil
}

func readSegment(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(file, ".gz") {
		return content, err
	}
	reader, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// tileFolder reads hash tiles from the files of a log.
type tileFolder string

func (tileFolder) Height() int                         { return torchwood.TileHeight }
func (tileFolder) SaveTiles(_ []tlog.Tile, _ [][]byte) {}

func (dir tileFolder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, 0, len(tiles))
	for _, tile := range tiles {
		bytes, err := os.ReadFile(filepath.Join(string(dir), filepath.FromSlash(torchwood.TilePath(tile))))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

// readHashes reads all hashes of a tree from its tiles, each tile checked against the tree's root. Tiles that hold only leaves
// below first may be gone, as retention removes them.
func readHashes(dir string, tree tlog.Tree, first int) (tlog.HashReader, error) {
	gone := int64(first >> torchwood.TileHeight)
	var indexes []int64
	for index := range tlog.StoredHashCount(tree.N) {
		if tile := tlog.TileForIndex(torchwood.TileHeight, index); tile.L > 0 || tile.N >= gone {
			indexes = append(indexes, index)
		}
	}
	hashes, err := tlog.TileHashReader(tree, tileFolder(dir)).ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	stored := make(map[int64]tlog.Hash, len(hashes))
	for at, index := range indexes {
		stored[index] = hashes[at]
	}
	return tlog.HashReaderFunc(func(wanted []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, 0, len(wanted))
		for _, index := range wanted {
			hash, ok := stored[index]
			if !ok {
				return nil, fmt.Errorf("hash %d is in a tile that is gone", index)
			}
			found = append(found, hash)
		}
		return found, nil
	}), nil
}

var indexLine = regexp.MustCompile(`(?m)^index (\d+)$`)

// checkProofs checks every tlog-proof file of a folder against the line that it says it proves.
func checkProofs(dir string, epochs *epochs, lines *lineHashes) (int, error) {
	if dir == "" {
		return 0, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tlog-proof"))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, errors.New("the folder has none")
	}
	for _, file := range files {
		if err := checkProof(file, epochs, lines); err != nil {
			return 0, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	return len(files), nil
}

func checkProof(file string, epochs *epochs, lines *lineHashes) error {
	proof, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	match := indexLine.FindSubmatch(proof)
	if match == nil {
		return errors.New("it has no index")
	}
	index, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return err
	}
	leaf, err := lines.at(index)
	if err != nil {
		return err
	}
	if err := torchwood.VerifyProof(epochs.policy(), leaf, proof); err != nil {
		return err
	}
	_, checkpoint, _ := bytes.Cut(proof, []byte("\n\n"))
	_, err = parseCheckpoint(checkpoint, epochs)
	return err
}

func parseHashes(text string) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, line := range strings.Fields(text) {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}
