package profile

import (
	"github.com/millrace/millrace/internal/event"
)

// slot is a field of events that people are made of, whatever its place in a schema.
type slot int

const (
	noSlot slot = iota
	userID
	externalID
	eventID
	seconds
	appID
	platform
	osVersion
	deviceModel
	deviceID
	adID
	adIDType
	adTracking
	eventName
	properties
	productID
	price
	currency
	campaignID
	campaignName
	variationID
	variationName
	canvasID
	canvasName
	canvasVariationID
	canvasVariation
	stepID
	stepName
	inControl
	groupID
	subscription
	messageChannel
	emailAddress
	phoneNumber
	firstName
	lastName
	gender
	birth
	homeCity
	country
	language
	timeZone
	customAttributes
	longitude
	latitude
	bucketNumber
	orphanedBy
	pushToken
	pushTokenDevice
	pushTokenChange
	machineOpen
	suspectedBot
	sendID
	buttonID
	buttonText
	behaviour
	inboundAction
	slots
)

// slotNames are the fields' names.
var slotNames = map[string]slot{
	"user_id": userID, "external_user_id": externalID, "id": eventID, "time": seconds, "app_id": appID, "platform": platform, "os_version": osVersion,
	"device_model": deviceModel, "device_id": deviceID, "ad_id": adID, "ad_id_type": adIDType, "ad_tracking_enabled": adTracking, "name": eventName,
	"properties": properties, "product_id": productID, "price": price, "currency": currency, "campaign_id": campaignID, "campaign_name": campaignName,
	"message_variation_id": variationID, "message_variation_name": variationName, "canvas_id": canvasID, "canvas_name": canvasName,
	"canvas_variation_id": canvasVariationID, "canvas_variation_name": canvasVariation, "canvas_step_id": stepID, "canvas_step_name": stepName, "in_control_group": inControl,
	"subscription_group_id": groupID, "subscription_status": subscription, "channel": messageChannel, "email_address": emailAddress, "phone_number": phoneNumber,
	"first_name": firstName, "last_name": lastName, "gender": gender, "dob": birth, "home_city": homeCity, "country": country, "language": language,
	"timezone": timeZone, "custom_attributes": customAttributes, "longitude": longitude, "latitude": latitude, "random_bucket_number": bucketNumber,
	"orphaned_by_id": orphanedBy, "push_token": pushToken, "push_token_device_id": pushTokenDevice, "push_token_state_change_type": pushTokenChange,
	"machine_open": machineOpen, "is_suspected_bot_click": suspectedBot,
	"send_id": sendID, "button_id": buttonID, "button_string": buttonText, "conversion_behavior_index": behaviour, "action": inboundAction,
}

// plan says where in a schema's records the slots stand, and what to do with them.
type plan struct {
	schema *event.Schema
	at     []slot // by place of the field
	last   int    // no field after this one is of use
	fold   fold
	counts bool   // see counting
	tally  *tally // nil: nothing is counted
}

func newPlan(s *event.Schema) *plan {
	p := &plan{schema: s, at: make([]slot, len(s.Fields)), fold: folds[s.Type.Name], counts: counting(s.Type.Name), tally: tallies[s.Type.Name]}
	for i := range s.Fields {
		if p.at[i] = slotNames[s.Fields[i].Name]; p.at[i] != noSlot {
			p.last = i
		}
	}
	return p
}

// facts are the slots of one record. What they give shares its memory.
type facts struct {
	field [slots]*event.Field
	span  [slots][]byte
}

// read gives the slots of a record. Errors: corrupt.
func (p *plan) read(rec []byte, f *facts) error {
	*f = facts{}
	return p.schema.Walk(rec, func(i int, span []byte) bool {
		if s := p.at[i]; s != noSlot {
			f.field[s], f.span[s] = &p.schema.Fields[i], span
		}
		return i < p.last
	})
}

// text gives a text; empty if it is null or there is no such field.
func (f *facts) text(s slot) string {
	if f.field[s] == nil {
		return ""
	}
	b, _ := f.field[s].Text(f.span[s])
	return string(b)
}

// number gives a number; false likewise.
func (f *facts) number(s slot) (float64, bool) {
	if f.field[s] == nil {
		return 0, false
	}
	return f.field[s].Number(f.span[s])
}

// yes reports whether a field is there and true, or the text "true", as machine_open is.
func (f *facts) yes(s slot) bool {
	n, ok := f.number(s)
	return ok && n != 0 || f.text(s) == "true"
}
