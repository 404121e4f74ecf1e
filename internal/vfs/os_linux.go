package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFile uses fdatasync: bytes and size, without waiting for the journal to take time stamps.
func syncFile(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = c.Control(func(fd uintptr) {
		for {
			// Only an interrupted call is repeated; one that failed is final.
			if serr = unix.Fdatasync(int(fd)); serr != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return serr
}
