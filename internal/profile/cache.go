package profile

// cache is people as the store holds them, those that were in batches last. It has two halves: who is asked for moves to
// the young one, and when that is full the old one goes.
type cache struct {
	limit      int // bytes, roughly
	young, old map[personKey]*person
	bytes      int // of young
}

// get gives somebody; nil if they are not kept.
func (c *cache) get(k personKey) *person {
	p := c.young[k]
	if p == nil {
		p = c.old[k]
	}
	return p
}

// put keeps somebody, or takes their size anew.
func (c *cache) put(k personKey, p *person) {
	if c.young[k] == nil {
		c.bytes += p.size()
	}
	if c.young == nil {
		c.young = map[personKey]*person{}
	}
	c.young[k] = p
	if c.bytes >= c.limit/2 {
		c.young, c.old, c.bytes = nil, c.young, 0
	}
}

func (c *cache) drop(k personKey) {
	delete(c.young, k)
	delete(c.old, k)
}
