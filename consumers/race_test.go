//go:build race

package consumers_test

func init() { raceDetector = true }
