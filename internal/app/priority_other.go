//go:build !linux

package app

// giveWay does nothing here: threads have no priority of their own.
func giveWay(niceness) {}
