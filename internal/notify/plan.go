package notify

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// plan decides who is to be sent what is new in the inbox.
func (n *Notifier) plan(ctx context.Context) error {
	for {
		notices, err := n.deps.Store.UnplannedNotices(ctx, planAtOnce)
		if err != nil || len(notices) == 0 {
			return err
		}
		planned, err := n.planSome(ctx, notices)
		if err != nil || planned == 0 || len(notices) < planAtOnce {
			return err
		}
	}
}

// planSome plans notices and gives how many it could plan: those of a workspace whose webhooks cannot be read wait and
// hold up nobody else.
func (n *Notifier) planSome(ctx context.Context, notices []control.Notice) (int, error) {
	now := time.Now()
	var ids []int64
	var sends []control.Send
	mails := map[string]int{} // by address: its index in sends
	hooks := map[uint32][]control.Webhook{}
	unreadable := map[uint32]bool{}
	for _, notice := range notices {
		ws := notice.Workspace
		if _, known := hooks[ws]; !known && !unreadable[ws] {
			hs, err := n.deps.Store.Webhooks(ctx, ws)
			if err != nil {
				if ctx.Err() != nil {
					return 0, err
				}
				unreadable[ws] = true
				n.deps.Logger.Error("notices of a workspace wait: its webhooks cannot be read", "workspace", ws, "error", err)
			}
			hooks[ws] = hs
		}
		if unreadable[ws] {
			continue
		}
		ids = append(ids, notice.ID)
		for _, h := range hooks[ws] {
			if len(h.Kinds) == 0 || slices.Contains(h.Kinds, notice.Kind) {
				sends = append(sends, control.Send{Notices: []int64{notice.ID}, Channel: control.ChannelWebhook, Webhook: h.ID, NextTry: now})
			}
		}
		if n.mailer == nil || !byMail(notice) {
			continue
		}
		people, err := n.deps.Store.Recipients(ctx, notice)
		if err != nil {
			return 0, err
		}
		for _, p := range people {
			address := strings.TrimSpace(p.Email)
			i, known := mails[address]
			if !known {
				i = len(sends)
				mails[address] = i
				sends = append(sends, control.Send{Channel: control.ChannelMail, Address: address, NextTry: now.Add(n.cfg.Quiet)})
			}
			if !slices.Contains(sends[i].Notices, notice.ID) {
				sends[i].Notices = append(sends[i].Notices, notice.ID)
			}
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	err := n.deps.Store.PlanSends(ctx, ids, sends)
	if fault.Is(err, fault.Stale) {
		return 0, nil // another process planned them meanwhile
	}
	return len(ids), err
}

// byMail reports whether n is sent by mail. Signals for machines are not, nor is a check that passed and changed nothing:
// whoever asked for it sees its result.
func byMail(n control.Notice) bool {
	switch n.Kind {
	case control.NoticeHourComplete:
		return false
	case control.NoticeCheckPassed:
		trigger := control.CheckTrigger(n.Params["trigger"])
		return trigger != control.CheckDemand && trigger != control.CheckSchedule && trigger != control.CheckTest
	}
	return text.Has("notice." + string(n.Kind))
}
