package storetest

func connectors(run runner) {}
