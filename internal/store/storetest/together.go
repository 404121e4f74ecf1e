package storetest

func together(run runner) {}
