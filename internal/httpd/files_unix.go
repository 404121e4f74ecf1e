//go:build unix

package httpd

import (
	"math"
	"syscall"
)

// openFiles is how many files this process may have open. Go has raised it to the hard limit at start.
func openFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return math.MaxInt32 // not to be had: as if there were no limit
	}
	return uint64(l.Cur) // the field is signed on some systems
}
