package secret_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

func ring(t *testing.T) *secret.Keyring {
	t.Helper()
	k, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t *testing.T, k *secret.Keyring, v, context string) []byte {
	t.Helper()
	b, err := k.Seal(secret.New(v), context)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsSealedOpensWithTheSameRingAndContextOnly(t *testing.T) {
	k := ring(t)
	for _, v := range []string{"", "s3cret", strings.Repeat("ü", 5000), "\x00\xff"} {
		sealed := seal(t, k, v, "c1/1")
		if v != "" && bytes.Contains(sealed, []byte(v)) {
			t.Fatalf("the sealed form of %q shows it", v)
		}
		got, err := k.Open(sealed, "c1/1")
		if err != nil || got.Reveal() != v {
			t.Fatalf("opened %q, %v; want %q", got.Reveal(), err, v)
		}
		if _, err := k.Open(sealed, "c1/2"); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("another context: %v, want corrupt", err)
		}
		if _, err := ring(t).Open(sealed, "c1/1"); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("another ring: %v, want corrupt", err)
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := k.Open(bad, "c1/1"); !fault.Is(err, fault.Corrupt) {
				t.Fatalf("byte %d changed: %v, want corrupt", i, err)
			}
			if i > 60 {
				break
			}
		}
		if _, err := k.Open(sealed[:len(sealed)-1], "c1/1"); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("cut short: %v, want corrupt", err)
		}
	}
	if bytes.Equal(seal(t, k, "same", "x"), seal(t, k, "same", "x")) {
		t.Fatal("sealing twice gave the same bytes: equal secrets can be told")
	}
}

func TestAStoredRingOpensAfterARestart(t *testing.T) {
	k := ring(t)
	sealed := seal(t, k, "v", "x")
	data, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := secret.ParseKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(sealed, "x"); err != nil || got.Reveal() != "v" {
		t.Fatalf("got %q, %v", got.Reveal(), err)
	}
}

func TestARotatedRingSealsAnewAndStillOpensTheOld(t *testing.T) {
	old := ring(t)
	sealed := seal(t, old, "v", "x")
	k, err := old.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(sealed, "x"); err != nil || got.Reveal() != "v" {
		t.Fatalf("old value: %q, %v", got.Reveal(), err)
	}
	if k.Current(sealed) || !old.Current(sealed) {
		t.Fatal("the old value is taken for one of the new key")
	}
	fresh := seal(t, k, "v", "x")
	if !k.Current(fresh) {
		t.Fatal("a new value is not under the current key")
	}
	if _, err := old.Open(fresh, "x"); !fault.Is(err, fault.Corrupt) {
		t.Fatalf("the old ring opened a value of the new key: %v", err)
	}
}

func TestANonRingIsRefusedWithoutQuotingIt(t *testing.T) {
	for _, data := range []string{"", "{", "hunter2-not-a-key", `{"primaryKeyId":1,"key":[]}`, `{"hunter2":1}`} {
		_, err := secret.ParseKeyring([]byte(data))
		if !fault.Is(err, fault.Invalid) {
			t.Fatalf("%q: %v, want invalid", data, err)
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Fatalf("the error quotes the file: %v", err)
		}
	}
}

func TestAKeyringPrintsNoKeys(t *testing.T) {
	k := ring(t)
	data, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	// The key's value is the only long run of base64 in the file.
	_, rest, found := bytes.Cut(data, []byte(`"value":"`))
	if !found {
		t.Fatal("the file holds no key value")
	}
	value := string(rest[:30])
	if s := fmt.Sprintf("%v %+v", k, *k); strings.Contains(s, value) {
		t.Fatal("printing a keyring shows its key")
	}
}
