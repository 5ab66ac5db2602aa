package spool_test

const victimDir = "SPOOL_TEST_VICTIM_DIR"

func appendForEver(dir string) {}
