package event

// PersonChange is the schema id of records that are no events: what a request about people says that no event type
// can carry. They stand in the log in the commit of that request, beside its events, so that both are durable at once;
// what they hold is control.PersonChange. Internal readers read them. No connector can select them, no count has them,
// and lists of types leave them out.
const PersonChange SchemaID = 999_001

// internalSchemas are the schemas of records that no bucket ever gets, by id. Ids between the catalogue's and
// FirstOwnID are theirs.
func internalSchemas() map[SchemaID]*Schema {
	t := &Type{Name: "millrace.PersonChange", Internal: true}
	t.Versions = []*Schema{{ID: PersonChange, Type: t, Version: 1}}
	return map[SchemaID]*Schema{PersonChange: t.Versions[0]}
}
