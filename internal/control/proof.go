package control

import (
	"maps"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/secret"
)

// ProofLife is for how long a proof stands in for a password.
const ProofLife = 5 * time.Minute

// proofs are those that a password was right, of who still owes the code: hashes of tokens, in memory. Only a right
// password makes one, so their number is bounded by the tries of networks. Safe for concurrent use.
type proofs struct {
	mu  sync.Mutex
	all map[KeyHash]proof
}

// proof is bound to the account and to the very password.
type proof struct {
	member   MemberID
	password secret.Value // its hash, as the lock has it
	until    time.Time
}

// add makes a proof for that member.
func (p *proofs) add(m MemberID, password secret.Value, now time.Time) secret.Value {
	token := newToken(proofPrefix)
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.all, func(_ KeyHash, x proof) bool { return !now.Before(x.until) })
	p.all[HashKey(token.Reveal())] = proof{m, password, now.Add(ProofLife)}
	return token
}

// holds reports whether token proves that member's password.
func (p *proofs) holds(token secret.Value, m MemberID, password secret.Value, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x, is := p.all[HashKey(token.Reveal())]
	return is && x.member == m && x.password == password && now.Before(x.until)
}

// spend ends a proof, if it is one.
func (p *proofs) spend(token secret.Value) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, HashKey(token.Reveal()))
}
