package app

import (
	"runtime"
	"syscall"
)

// giveWay makes the goroutine that calls it run behind those that answer requests, on a thread of its own, as long as it
// lasts. What it does has to be able to wait: compress files, make profiles.
func giveWay(n niceness) {
	runtime.LockOSThread()
	// Only a thread can be told, which on Linux is what 0 stands for. It may always be made nicer; else all goes on as
	// without it.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, int(n))
}
