package config

import "reflect"

// Keys lists all keys of target, a pointer to a configuration struct, in order.
func Keys(target any) []string { return sorted(keysOf(reflect.TypeOf(target).Elem(), "")) }
