package storetest

func records(run runner) {}
