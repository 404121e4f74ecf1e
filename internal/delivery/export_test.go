package delivery

import "time"

// Jumped makes it so that the wall clock has jumped forward by d since m was made. Not while m runs.
func (m *Manager) Jumped(d time.Duration) { m.wall = m.wall.Add(-d) }
