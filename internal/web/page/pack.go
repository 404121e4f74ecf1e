package page

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// pack gives b in gzip. Pages are words that repeat: a tenth of their bytes goes over the wire.
func pack(b []byte, level int) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, level)
	if err == nil {
		if _, err = z.Write(b); err == nil {
			err = z.Close()
		}
	}
	if err != nil {
		panic(err) // memory does not fail, and levels are ours
	}
	return out.Bytes()
}

// takesGzip reports whether the browser reads gzip, and then says in h, the answer's header, that it is. That lengths tell
// of what is in a page harms nobody: another site can only have a browser ask for pages, not send forms, and what is asked
// for holds no secret beside words of the address.
func takesGzip(h http.Header, r *http.Request) bool {
	h.Add("Vary", "Accept-Encoding")
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") && strings.Trim(strings.TrimSpace(weight), "0.") != "q=" {
			h.Set("Content-Encoding", "gzip")
			return true
		}
	}
	return false
}
