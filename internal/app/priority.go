package app

import (
	"runtime"
	"sync"
)

// cores is how many processors this process may use.
var cores = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// spareProcessors gives the scheduler as many processors again as there are cores. What can wait (giveWay) then never
// holds the last one: the kernel runs a thread that has a request to answer at once, where the scheduler would see it only
// when a computing goroutine is next interrupted, which takes 10 ms.
func spareProcessors() { runtime.GOMAXPROCS(2 * cores()) }
