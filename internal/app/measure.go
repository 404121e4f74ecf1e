package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// bareFsync measures what the disk takes to make 4 KiB durable, sorted, with a pause between two: as the load comes. A disk
// or a machine that falls asleep meanwhile takes longer than one that is kept busy.
func bareFsync(folder vfs.FS, pause time.Duration) ([]time.Duration, error) {
	f, err := folder.Create("fsync")
	if err != nil {
		return nil, err
	}
	defer f.Close() // a file of zeros
	page := make([]byte, 4096)
	var took []time.Duration
	for range 500 {
		time.Sleep(pause)
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took, nil
}

// cpuTime is the processor time that a process has used. Source: proc_pid_stat(5), fields 14 and 15, in ticks of
// 1/100 s on every Linux that Go runs on.
func cpuTime(pid int) (time.Duration, error) {
	b, err := procFile(pid, "stat")
	if err != nil {
		return 0, err
	}
	// The name of the program, in brackets, may hold anything.
	fields := strings.Fields(b[strings.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fault.New(fault.Internal, "measure", "/proc/%d/stat is not as documented", pid)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fault.New(fault.Internal, "measure", "/proc/%d/stat is not as documented", pid)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// busyTime is the processor time that the whole machine has used or was denied. Source: proc_stat(5), the first line:
// user, nice, system, idle, iowait, irq, softirq, steal.
func busyTime() (time.Duration, error) {
	b, err := procText("stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(b, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, fault.New(fault.Internal, "measure", "/proc/stat is not as documented")
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fault.From(err, fault.Internal, "measure")
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// peakMemory is the most resident memory that a process ever had. Source: proc_pid_status(5), VmHWM in KiB.
func peakMemory(pid int) (int64, error) {
	n, err := procNumber(pid, "status", "VmHWM:")
	return n << 10, err
}

// procNumber gives the first number of the line of a file of /proc that begins with name.
func procNumber(pid int, file, name string) (int64, error) {
	b, err := procFile(pid, file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(b) {
		if v, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n, fault.From(err, fault.Internal, "measure")
		}
	}
	return 0, fault.New(fault.Internal, "measure", "/proc/%d/%s has no %s", pid, file, name)
}

// procFile reads what /proc says of a process.
func procFile(pid int, name string) (string, error) { return procText(fmt.Sprintf("%d/%s", pid, name)) }

// procText reads a file of /proc, whose size the system gives as 0.
func procText(name string) (string, error) {
	f, err := vfs.OS("/proc").Open(name)
	if err != nil {
		return "", fault.Wrap(err, "measure (only Linux tells)")
	}
	defer f.Close() // read only
	b := make([]byte, 16<<10)
	n, err := f.ReadAt(b, 0)
	if n == 0 {
		return "", fault.Wrap(err, "measure")
	}
	return string(b[:n]), nil
}

// diskBytes is what a process has sent to disks. Source: proc_pid_io(5), write_bytes.
func diskBytes(pid int) (int64, error) { return procNumber(pid, "io", "write_bytes:") }

// folderBytes is the size of all files below a folder.
func folderBytes(folder vfs.FS, name string) (sum int64, err error) {
	entries, err := folder.List(name)
	for _, e := range entries {
		if err != nil {
			return 0, err
		}
		child, n := name+"/"+e.Name, int64(0)
		if e.Dir {
			n, err = folderBytes(folder, child)
		} else {
			var info vfs.Info
			info, err = folder.Stat(child)
			n = info.Size
		}
		sum += n
	}
	return sum, err
}

// removeAll takes a folder away with everything in it.
func removeAll(folder vfs.FS, name string) error {
	entries, err := folder.List(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		child := name + "/" + e.Name
		if e.Dir {
			err = removeAll(folder, child)
		} else {
			err = folder.Remove(child)
		}
		if err != nil {
			return err
		}
	}
	return folder.Remove(name)
}
