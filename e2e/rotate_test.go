package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The master key is rotated again and again while events come and other commands seal secrets; half of the rotations
// are killed somewhere. No process is started again for it, and nothing is lost or sealed for nobody.
func TestRotationsThatAreKilledUnderLoad(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, "HOOK_SECRET=a webhook's own secret")
	rounds := 6
	if long() {
		rounds = 60
	}
	for i := range rounds {
		rotation := exec.Command(millrace, "secret", "rotate")
		rotation.Env = append(cleanEnv(), w.env...)
		if err := rotation.Start(); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			time.AfterFunc(time.Duration(random.IntN(150))*time.Millisecond, func() { rotation.Process.Kill() })
		}
		w.send(fmt.Sprint("round", i), 60)
		must(t, w.env, "apply", "-f", write(t, "hook.yaml", fmt.Sprintf("workspaces:\n  - name: acme\n    webhooks: [{url: 'https://hook.example/%d', secret_env: HOOK_SECRET, kinds: [dropped]}]\n", i)))
		if err := rotation.Wait(); err != nil && i%2 == 0 {
			t.Errorf("round %d: %v", i, err)
		}
		must(t, w.env, "connector", "check", "acme/warehouse")
	}
	w.delivered()
	must(t, w.env, "secret", "reseal")
	if out := must(t, w.env, "secret", "reseal"); !strings.Contains(out, "0 values sealed anew") {
		t.Errorf("something is sealed under a former key while nobody seals: %s", out)
	}
	if long() {
		if out := must(t, w.env, "secret", "reseal", "--drop-former"); !strings.Contains(out, "taken out of the file") {
			t.Error(out)
		}
		w.send("dropped", 60)
		must(t, w.env, "connector", "check", "acme/warehouse")
		w.delivered()
	}
	w.agrees()
	w.start()
	w.send("after", 60)
	w.delivered()
	w.agrees()
}
