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

func TestARingWithoutItsFormerKeysOpensWhatIsCurrentOnly(t *testing.T) {
	first := ring(t)
	old := seal(t, first, "v", "x")
	second, err := first.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	third, err := second.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	fresh := seal(t, third, "v", "x")
	alone, err := third.Alone()
	if err != nil {
		t.Fatal(err)
	}
	if first.Former() != 0 || third.Former() != 2 || alone.Former() != 0 {
		t.Errorf("former keys: %d, %d, %d", first.Former(), third.Former(), alone.Former())
	}
	if got, err := alone.Open(fresh, "x"); err != nil || got.Reveal() != "v" || !alone.Current(fresh) {
		t.Errorf("the current key is not left: %v", err)
	}
	if _, err := alone.Open(old, "x"); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a former key is left: %v", err)
	}
	if _, err := third.Open(old, "x"); err != nil {
		t.Errorf("the ring that it was made of has changed: %v", err)
	}
}

// file is a key file that several processes share.
type file struct {
	data []byte
	err  error
}

func (f *file) read() ([]byte, error) { return f.data, f.err }

func (f *file) put(t *testing.T, k *secret.Keyring) {
	t.Helper()
	b, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	f.data, f.err = b, nil
}

func TestAKeyringFollowsItsFile(t *testing.T) {
	first := ring(t)
	f := &file{}
	f.put(t, first)
	k, err := secret.OpenKeyring(f.read)
	if err != nil {
		t.Fatal(err)
	}
	old := seal(t, k, "old", "x")

	second, err := first.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, second)
	if got, err := k.Open(seal(t, second, "new", "x"), "x"); err != nil || got.Reveal() != "new" {
		t.Errorf("a value of the new key: %v", err)
	}
	third, err := second.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, third)
	if k.Current(seal(t, second, "v", "x")) || !third.Current(seal(t, k, "v", "x")) {
		t.Error("it seals with a former key")
	}
	if got, err := k.Open(old, "x"); err != nil || got.Reveal() != "old" {
		t.Errorf("a value of the first key: %v", err)
	}

	// A file that is gone, or no keyring, takes nothing away.
	foreign := seal(t, ring(t), "v", "x")
	for _, broken := range []*file{{err: fault.New(fault.NotFound, "read", "gone")}, {data: []byte("hunter2")}, {}} {
		*f = *broken
		if sealed := seal(t, k, "v", "x"); !third.Current(sealed) {
			t.Error("it seals with something else")
		}
		if _, err := k.Open(old, "x"); err != nil {
			t.Errorf("a value of the first key: %v", err)
		}
		_, err := k.Open(foreign, "x")
		if !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("a key that may be in the file: %v", err)
		}
	}
	f.put(t, third)
	if _, err := k.Open(foreign, "x"); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a key of nobody: %v", err)
	}
	if _, err := secret.OpenKeyring((&file{err: fault.New(fault.NotFound, "read", "gone")}).read); !fault.Is(err, fault.NotFound) {
		t.Errorf("no file at the start: %v", err)
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
	if s := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(s, value) {
		t.Fatal("printing a keyring shows its key")
	}
}
