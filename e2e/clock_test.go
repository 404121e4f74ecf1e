package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shiftedClock is added to the standard library of the binary under test: the program itself has no such thing. A
// static binary asks the kernel for the time without any library that could be put in between.
const shiftedClock = `
var shiftBefore, shiftAfter, shiftAt = readShift()

func readShift() (before, after, at int64) {
	text, _ := syscall.Getenv("E2E_CLOCK")
	n := [3]int64{}
	sign, i := int64(1), 0
	for _, c := range text {
		switch {
		case c == ',':
			n[i] *= sign
			sign, i = 1, i+1
		case c == '-':
			sign = -1
		default:
			n[i] = n[i]*10 + int64(c-'0')
		}
	}
	return n[0], n[1], n[2]
}

// clockShift is in seconds: one shift before the process is so many seconds old, another one after.
func clockShift(mono int64) int64 {
	if mono-startNano < shiftAt*1e9 {
		return shiftBefore
	}
	return shiftAfter
}
`

// shiftable builds the program with a wall clock that E2E_CLOCK=before,after,at moves.
func shiftable(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	b, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	source := string(b)
	for from, to := range map[string]string{
		"sec, nsec, mono := runtimeNow()\n": "sec, nsec, mono := runtimeNow()\n\tsec += clockShift(mono)\n",
		"import (\n":                        "import (\n\t\"syscall\"\n",
	} {
		if !strings.Contains(source, from) {
			t.Fatalf("this version of Go tells the time in another way: no %q", from)
		}
		source = strings.Replace(source, from, to, 1)
	}
	dir := t.TempDir()
	changed, overlay, binary := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "millrace")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{changed: source + shiftedClock, overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "./cmd/millrace")
	c.Dir = ".."
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// The wall clock is set back by an hour and forward by a day, at restarts and while the process runs. The store, whose
// clock is right, refuses signatures from another time; that is nobody's customer's fault. Once the clock is right
// again everything is delivered, once, and nothing was dropped.
func TestTheClockIsSetBackAndForward(t *testing.T) {
	if !long() {
		return // it builds the standard library anew
	}
	binary := shiftable(t)
	w := newWorld(t)
	w.binary = binary
	w.send("before", 90)
	w.delivered()
	w.stop()
	clean := len(w.env)
	const hour, day = 3600, 24 * 3600
	for i, clock := range []string{
		fmt.Sprintf("%d,%d,0", -hour, -hour),
		fmt.Sprintf("%d,%d,0", day, day),
		fmt.Sprintf("0,%d,4", day),
		fmt.Sprintf("%d,0,4", day),
		fmt.Sprintf("0,%d,4", -hour),
	} {
		w.env = append(w.env[:clean:clean], "E2E_CLOCK="+clock)
		w.start()
		w.send(fmt.Sprintf("early%d", i), 90)
		time.Sleep(5 * time.Second)
		w.send(fmt.Sprintf("late%d", i), 90)
		time.Sleep(2 * time.Second)
		if i%2 == 0 {
			w.kill()
		} else {
			w.stop()
		}
	}
	w.env = w.env[:clean]
	w.start()
	w.send("after", 90)
	w.delivered()
	w.agrees()
	if d := w.drops(); len(d) > 0 {
		t.Errorf("a clock that jumps drops nothing; the ledger lists %v", d)
	}
	if n := strings.Count(w.output(), "clock_skew"); n == 0 {
		t.Error("the store never noticed the clock: the shift had no effect")
	}
}
