package main

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"tributary/schema"
)

// measureCeiling takes the CPU of what a writer of these objects cannot do without.
func (in *encodeInput) measureCeiling(bucket *memoryBucket) (scan, compress time.Duration, err error) {
	var pages [][]byte
	total := int64(0)
	for key, o := range bucket.objects {
		if !strings.HasSuffix(key, ".parquet") {
			continue
		}
		found, err := pagesOf(o.content)
		if err != nil {
			return 0, 0, fmt.Errorf("pages of %s: %w", key, err)
		}
		for _, p := range found {
			total += int64(len(p))
		}
		pages = append(pages, found...)
	}
	in.found.Pages = total
	// As the Parquet library makes its own.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return 0, 0, err
	}
	defer enc.Close()
	runtime.GC()
	before := processCPU()
	for _, line := range in.lines {
		if err := schema.WalkObject(line, nil); err != nil {
			return 0, 0, err
		}
	}
	scan = processCPU() - before
	before = processCPU()
	var out []byte
	for _, p := range pages {
		out = enc.EncodeAll(p, out[:0])
	}
	return scan, processCPU() - before, nil
}

// pagesOf are the uncompressed pages of an object, dictionaries too.
func pagesOf(content []byte) (pages [][]byte, err error) {
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	for _, group := range file.Metadata().RowGroups {
		for _, c := range group.Columns {
			m := c.MetaData
			from := m.DataPageOffset
			if m.DictionaryPageOffset > 0 {
				from = min(from, m.DictionaryPageOffset)
			}
			found, err := chunkPages(content[from:from+m.TotalCompressedSize], dec)
			if err != nil {
				return nil, fmt.Errorf("column %v: %w", m.PathInSchema, err)
			}
			pages = append(pages, found...)
		}
	}
	return pages, nil
}

// chunkPages takes a column's pages apart. Levels of data pages stand before what is
// compressed.
func chunkPages(chunk []byte, dec *zstd.Decoder) (pages [][]byte, err error) {
	for len(chunk) > 0 {
		r := bytes.NewReader(chunk)
		var header format.PageHeader
		protocol := thrift.CompactProtocol{}
		if err := thrift.NewDecoder(protocol.NewReader(r)).Decode(&header); err != nil {
			return nil, fmt.Errorf("page header: %w", err)
		}
		body := chunk[len(chunk)-r.Len():]
		next := body[header.CompressedPageSize:]
		body = body[:header.CompressedPageSize]
		if h := header.DataPageHeaderV2; h.Valid {
			body = body[h.V.RepetitionLevelsByteLength+h.V.DefinitionLevelsByteLength:]
		}
		if len(body) > 0 {
			plain, err := dec.DecodeAll(body, nil)
			if err != nil {
				return nil, fmt.Errorf("page: %w", err)
			}
			pages = append(pages, plain)
		}
		chunk = next
	}
	return pages, nil
}
