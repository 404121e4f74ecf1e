package app

import (
	"runtime"
	"sync"
)

// cores is how many processors this process may use.
var cores = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// niceness is how far what can wait stands behind threads that answer requests.
type niceness int

const (
	// Beside threads that answer requests a thread of 10 gets a tenth of a core, and where there are none the whole: files
	// lag while a burst lasts, and never stand still.
	filesWait niceness = 10
	// The least there is: a fiftieth beside requests, an eighth beside files. Source: sched(7), the weights of nice values.
	peopleWait niceness = 19
)

// spareProcessors gives the scheduler more processors than there are cores: at least one beside those that what can wait
// (giveWay) may hold, one for each core that compresses files and two that make and store profiles. The kernel then runs a
// thread that has a request to answer at once, where the scheduler would see it only when a computing goroutine is next
// interrupted, which takes 10 ms.
func spareProcessors() { runtime.GOMAXPROCS(max(2*cores(), cores()+3)) }
