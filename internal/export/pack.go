package export

import (
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zip"

	"github.com/millrace/millrace/internal/fault"
)

// Packing is how a file is compressed.
type Packing string

// The packings.
const (
	Zip  Packing = "zip"
	Gzip Packing = "gzip"
	None Packing = "none"
)

// Suffix is what the name of a packed file ends with.
func (p Packing) Suffix() string {
	switch p {
	case Zip:
		return ".zip"
	case Gzip:
		return ".gz"
	}
	return ""
}

// Pack writes what from has to w: as the only file of an archive, called name, or compressed, or as it is. The same bytes
// give the same bytes, since no time is written. Errors: those of from and w.
func Pack(w io.Writer, how Packing, name string, from io.Reader) error {
	var to io.Writer
	var end func() error
	switch how {
	case Zip:
		z := zip.NewWriter(w)
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
		f, err := z.Create(name)
		if err != nil {
			return fault.Wrap(err, "pack "+name)
		}
		to, end = f, z.Close
	case Gzip:
		z, err := gzip.NewWriterLevel(w, flate.BestSpeed)
		if err != nil {
			return fault.From(err, fault.Internal, "pack "+name)
		}
		to, end = z, z.Close
	default:
		to, end = w, func() error { return nil }
	}
	if _, err := io.Copy(to, from); err != nil {
		return fault.Wrap(err, "pack "+name)
	}
	return fault.Wrap(end(), "pack "+name)
}
