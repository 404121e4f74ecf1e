package httpd

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

func TestAQuotaIsEachPartysAndBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQuota(2, time.Hour)
		take := func(party uint32, remaining string, refused bool) {
			t.Helper()
			w := httptest.NewRecorder()
			err := q.Take(w, party)
			if got := w.Header().Get("X-RateLimit-Remaining"); got != remaining || fault.Is(err, fault.RateLimited) != refused {
				t.Errorf("party %d has %q left and %v, want %q, refused %v", party, got, err, remaining, refused)
			}
		}
		take(7, "1", false)
		time.Sleep(59 * time.Minute)
		take(7, "0", false)
		take(7, "0", true)
		take(8, "1", false)
		time.Sleep(time.Minute)
		take(7, "1", false)
	})
}
