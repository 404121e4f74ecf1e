package fault_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

func TestNearestIsWhatWasMeant(t *testing.T) {
	known := []string{"time", "timezone", "user_id", "external_user_id", "hash", "remove"}
	for name, want := range map[string]string{
		"tme": "time", "Time": "time", "TIEM": "time", "userid": "user_id", "user_ids": "user_id", "user_di": "user_id",
		"hsah": "hash", "hahs": "hash", "external_usr_id": "external_user_id", "rmeoev": "remove",
		"zone": "", "x": "", "": "", "completely_else": "", strings.Repeat("time", 100): "",
	} {
		if got := fault.Nearest(name, known); got != want {
			t.Errorf("%.40q: %q, want %q", name, got, want)
		}
	}
	if got := fault.Nearest("time", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestNearestTakesTheFewestEditsAndThenTheFirst(t *testing.T) {
	for name, row := range map[string]struct {
		known []string
		want  string
	}{
		"listn":  {[]string{"listens", "listen"}, "listen"},
		"region": {[]string{"legion", "Region"}, "Region"},
		"cat":    {[]string{"bat", "hat"}, "bat"},
	} {
		if got := fault.Nearest(name, row.known); got != row.want {
			t.Errorf("%q: %q, want %q", name, got, row.want)
		}
	}
}

func TestClosestAlwaysNamesOne(t *testing.T) {
	known := []string{"listen", "zone", "grace_period"}
	for name, want := range map[string]string{"a": "zone", "": "zone", "grace": "zone", "graceperiods": "grace_period", strings.Repeat("z", 1<<20): "zone"} {
		if got := fault.Closest(name, known); got != want {
			t.Errorf("%.40q: %q, want %q", name, got, want)
		}
	}
}
