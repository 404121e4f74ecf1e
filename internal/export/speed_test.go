package export

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/vfs"
)

// BenchmarkExport makes an archive of JSON lines, and one of CSV, of as many people as the environment's EXPORT_PEOPLE says
// (100,000), from SQLite, on the disk; in turns with the sqlite3 shell, which writes the same rows to CSV, and zip, which
// packs them: x/shell is the ratio of their times. An export may not take more than 200 MiB, this process and all. To keep the
// database that it makes, which takes minutes for a million, name a folder in EXPORT_DIR.
func BenchmarkExport(b *testing.B) {
	for _, name := range []string{"sqlite3", "zip"} {
		if _, err := exec.LookPath(name); err != nil {
			b.Fatalf("exports are measured beside %s, which is not installed: install your system's package %s, on Debian as root with make shell", name, name)
		}
	}
	people, err := strconv.Atoi(cmp.Or(os.Getenv("EXPORT_PEOPLE"), "100000"))
	if err != nil {
		b.Fatal("EXPORT_PEOPLE is no number: ", err)
	}
	dir := cmp.Or(os.Getenv("EXPORT_DIR"), b.TempDir())
	database := filepath.Join(dir, "people.db")
	rows, who := storetest.Open(b), storetest.OpenProfiles(b, database)
	if err := rows.CreateWorkspace(b.Context(), control.Workspace{Number: 1, Name: "acme", UnknownFields: control.RejectUnknown, CreatedAt: now}); err != nil {
		b.Fatal(err)
	}
	if last, _, err := who.Highest(b.Context()); err != nil || last != 0 && last != int64(people) {
		b.Fatalf("%s has %d people, not %d: remove it, or name another folder (%v)", database, last, people, err)
	} else if last == 0 {
		crowded(b, who, people)
	}
	of := func(ctx context.Context, e control.Export, needs control.ProfileNeeds) (People, int64, error) {
		p, err := who.Bulk(ctx, 1, e.Spec.Filter, e.CreatedAt, needs)
		return p, 0, err
	}
	for _, kind := range []control.ExportKind{control.ExportSegmentUsers, control.ExportUsersCSV} {
		b.Run(string(kind), func(b *testing.B) {
			var peak int64
			var ours, cpu, shell, shellCPU time.Duration
			for b.Loop() {
				debug.FreeOSMemory()
				freshPeak(b)
				began, used := time.Now(), cpuTime(b)
				e := exported(b, rows, of, kind)
				ours, cpu, peak = ours+time.Since(began), cpu+cpuTime(b)-used, max(peak, peakMemory(b))
				if e.State != control.ExportDone || e.People != int64(people) {
					b.Fatalf("it is %+v", e)
				}
				b.ReportMetric(float64(e.Bytes)/1e6, "MB")
				b.StopTimer()
				began = time.Now()
				bytes, used := byShell(b, database, kind)
				shell, shellCPU = shell+time.Since(began), shellCPU+used
				b.ReportMetric(float64(bytes)/1e6, "shell-MB")
				b.StartTimer()
			}
			million := float64(b.N) * float64(people) / 1e6
			b.ReportMetric(ours.Seconds()/million, "s/million")
			b.ReportMetric(cpu.Seconds()/million, "cpu-s/million")
			b.ReportMetric(shell.Seconds()/million, "shell-s/million")
			b.ReportMetric(shellCPU.Seconds()/million, "shell-cpu-s/million")
			b.ReportMetric(ours.Seconds()/shell.Seconds(), "x/shell")
			b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
			if peak > 200<<20 {
				b.Errorf("the process took %d MiB", peak>>20)
			}
		})
	}
}

// exported makes an export of everybody.
func exported(b *testing.B, rows books, people func(context.Context, control.Export, control.ProfileNeeds) (People, int64, error), kind control.ExportKind) (got control.Export) {
	e := control.Export{ID: control.NewExportID(now), Workspace: 1, Kind: kind, Source: control.ExportByDashboard, Subject: "s", CreatedAt: now, Spec: control.ExportSpec{Fields: Fields()}}
	var err error
	if e.Number, err = rows.AddExport(b.Context(), e); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	files := vfs.OS(b.TempDir())
	r := NewRunner(Deps{Books: rows, Files: files, Own: InFolder(files), Logger: slog.New(slog.DiscardHandler), May: func(context.Context, control.Export) error { return nil },
		People:  people,
		OnEnded: func(e control.Export) { got = e; cancel() }}, 2)
	_ = r.Run(ctx) // which ends with ctx
	return got
}

// byShell writes the rows of which an export is made to CSV by the sqlite3 shell, packs it with zip, and gives the archive's size
// and what CPU time both took.
func byShell(b *testing.B, database string, kind control.ExportKind) (bytes int64, cpu time.Duration) {
	query := "SELECT p.*, d.*, m.custom, m.rest"
	if kind.Lines() {
		query += `, (SELECT json_group_array(json_array(n.kind, n.name, e.first_at, e.last_at, e.count)) FROM people_names n JOIN people_events e ON e.name = n.id AND e.person = p.id WHERE n.workspace = 1)`
	}
	query += " FROM people p JOIN people_done d ON d.person = p.id LEFT JOIN people_more m ON m.person = p.id WHERE p.workspace = 1 ORDER BY p.id"
	dir := b.TempDir()
	file, err := os.Create(filepath.Join(dir, "users.csv"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close() // it is read by zip, or not at all
	write := exec.Command("sqlite3", "-readonly", "-header", "-csv", database, query)
	write.Stdout, write.Stderr = file, os.Stderr
	if err := write.Run(); err != nil {
		b.Fatal("sqlite3: ", err)
	}
	pack := exec.Command("zip", "-q", "-j", filepath.Join(dir, "users.zip"), file.Name())
	pack.Stderr = os.Stderr
	if err := pack.Run(); err != nil {
		b.Fatal("zip: ", err)
	}
	size, err := os.Stat(filepath.Join(dir, "users.zip"))
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range []*exec.Cmd{write, pack} {
		cpu += p.ProcessState.UserTime() + p.ProcessState.SystemTime()
	}
	return size.Size(), cpu
}

// freshPeak lets peakMemory begin anew: see proc(5), clear_refs and VmHWM.
func freshPeak(b *testing.B) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil && runtime.GOOS == "linux" {
		b.Fatal(err)
	}
}

// peakMemory is how many bytes of memory this process had at most; 0 where it cannot be told.
func peakMemory(b *testing.B) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil && runtime.GOOS == "linux" {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, _ := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "kB", 2)[0]), 10, 64) // nothing: 0
	return n << 10
}

// cpuTime is what this process has used: other than the clock it says the same on a machine that others use too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// crowded puts so many people into a database.
func crowded(b *testing.B, who interface {
	Apply(ctx context.Context, b *control.PeopleBatch) error
}, people int) {
	names := []control.Name{{ID: 1, Workspace: 1, Kind: control.NameEvent, Name: "login", FirstAt: now, LastAt: now}, {ID: 2, Workspace: 1, Kind: control.NameProduct, Name: "sku", FirstAt: now, LastAt: now}}
	custom := []byte(`{"plan":"gold","age":42,"tags":["a","b","c"],"address":{"city":"Berlin","zip":"10115"}}`)
	rest := []byte(`{"apps":[{"id":"app","platform":"ios","version":"1.2.3","sessions":7,"first_used":1700000000000,"last_used":1700000000000}],"devices":[{"id":"0123456789abcdef","model":"Phone","os":"17.1"}]}`)
	for from := 0; from < people; from += 20_000 {
		batch := &control.PeopleBatch{Log: eventlog.ID{1}, From: eventlog.Offset(from), Next: eventlog.Offset(from + 20_000)}
		if from == 0 {
			batch.Names = names
		}
		for row := int64(from) + 1; row <= int64(min(from+20_000, people)); row++ {
			batch.People = append(batch.People, &control.Person{Row: row, New: true, Workspace: 1, ID: control.PersonID(fmt.Sprintf("%024x", row)), ExternalID: fmt.Sprint("user-", row), Bucket: int(row % 10_000),
				CreatedAt: now.Add(-time.Duration(row) * time.Second), UpdatedAt: now, Email: fmt.Sprintf("user%d@example.com", row), FirstName: "Ana", LastName: "Souza", Country: []string{"DE", "BR", "US"}[row%3],
				Language: "pt", TimeZone: "America/Sao_Paulo", FirstSession: now, LastSession: now, Sessions: row % 20, Custom: custom, Rest: rest})
			batch.Events = append(batch.Events, control.PersonEvents{Name: 1 + row%2, Person: row, First: now, Last: now, Count: 1 + row%9, Revenue: 1})
		}
		if err := who.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
