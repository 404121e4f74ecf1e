package control

import (
	"context"
	"slices"
)

// held is a right that whoever asks has to have still when something is written for them.
type held struct {
	right     Right
	workspace uint32
}

type heldKey struct{}

// Holding has every transaction of the store under ctx look first, before it writes, whether the actor of ctx has that
// right still, beside those that ctx holds them to already. Between looking at a right and writing others may write: who
// was removed meanwhile changes nothing any more. Who is no member is held to nothing.
//
// The transaction refuses with forbidden; with unauthorized who is no member any more.
func Holding(ctx context.Context, r Right, workspace uint32) context.Context {
	all, _ := ctx.Value(heldKey{}).([]held)
	return context.WithValue(ctx, heldKey{}, append(slices.Clip(all), held{r, workspace}))
}

// HeldTo gives who is held to rights under ctx; nobody if held is false. For store.
func HeldTo(ctx context.Context) (a Actor, held bool) {
	a = ActorOf(ctx)
	return a, a.Member != "" && ctx.Value(heldKey{}) != nil
}

// StillMay refuses if now, the actor of ctx as a transaction finds them, lacks a right that they are held to. For store.
// Errors: forbidden; unauthorized if now is nobody.
func StillMay(ctx context.Context, now Actor) error {
	all, _ := ctx.Value(heldKey{}).([]held)
	for _, h := range all {
		if _, _, err := need(WithActor(ctx, now), h.right, h.workspace); err != nil {
			return err
		}
	}
	return nil
}
