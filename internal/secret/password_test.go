package secret

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/millrace/millrace/internal/fault"
)

func TestAPasswordIsVerified(t *testing.T) {
	p := NewPasswords(2)
	hash := func(memory, passes uint32, lanes uint8) Value {
		salt := []byte("a salt of 16 byt")
		return encodePHC(memory, passes, lanes, salt, argon2.IDKey([]byte("correct horse"), salt, passes, memory, lanes, 32))
	}
	made, err := p.Hash(t.Context(), New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Hash(t.Context(), New("correct horse"))
	if err != nil || made == again {
		t.Fatalf("two hashes of one password are the same, or: %v", err)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(made.Reveal(), want) {
		t.Fatalf("a hash begins with %.40s, want %s", made.Reveal(), want)
	}
	accented, err := p.Hash(t.Context(), New("a\u00e7\u00e3o e reac\u0327a\u0303o"))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		password   string
		stored     Value
		right, old bool
	}{
		"the right one":                          {"correct horse", made, true, false},
		"another":                                {"Correct horse", made, false, false},
		"an empty one":                           {"", made, false, false},
		"with more memory":                       {"correct horse", hash(32*1024, 2, 1), true, true},
		"with more lanes":                        {"correct horse", hash(passwordMemory, 2, 2), true, true},
		"another, with other parameters":         {"wrong", hash(8*1024, 1, 1), false, false},
		"no password is stored":                  {"correct horse", Value{}, false, false},
		"no password is stored, none is given":   {"", Value{}, false, false},
		"an accent that is written in two signs": {"ac\u0327a\u0303o e rea\u00e7\u00e3o", accented, true, false},
	} {
		right, old, err := p.Verify(t.Context(), New(row.password), row.stored)
		if err != nil || right != row.right || old != row.old {
			t.Errorf("%s: right %v, old %v, %v; want %v, %v", name, right, old, err, row.right, row.old)
		}
	}
}

func TestAHashThatIsNoneIsRefusedWithoutBeingShown(t *testing.T) {
	p := NewPasswords(1)
	b := base64.RawStdEncoding
	salt, hash := b.EncodeToString(make([]byte, 16)), b.EncodeToString(make([]byte, 32))
	phc := func(parameters, salt, hash string) string {
		return "$argon2id$v=19$" + parameters + "$" + salt + "$" + hash
	}
	for name, s := range map[string]string{
		"another kind":         "$2a$10$secretsecretsecretsecret",
		"a version that was":   "$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + hash,
		"all memory there is":  phc("m=4294967295,t=2,p=1", salt, hash),
		"passes for a day":     phc("m=19456,t=4000000,p=1", salt, hash),
		"no lanes":             phc("m=19456,t=2,p=0", salt, hash),
		"no hash":              phc("m=19456,t=2,p=1", salt, ""),
		"no salt":              phc("m=19456,t=2,p=1", "", hash),
		"an enormous hash":     phc("m=19456,t=2,p=1", salt, b.EncodeToString(make([]byte, 4096))),
		"not base64":           phc("m=19456,t=2,p=1", salt, "secret!secret!secret!"),
		"nothing but a dollar": "$",
	} {
		_, _, err := p.Verify(t.Context(), New("correct horse"), New(s))
		if !fault.Is(err, fault.Corrupt) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHashesWaitTheirTurn(t *testing.T) {
	p := NewPasswords(1)
	p.turns <- struct{}{} // somebody else's
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Hash(ctx, New("correct horse")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("with no turn free: %v", err)
	}
	<-p.turns
	if _, err := p.Hash(t.Context(), New("correct horse")); err != nil {
		t.Error(err)
	}
}
