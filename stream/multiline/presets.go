package multiline

import "bytes"

var presets = map[string]*Grammar{"java": {java}, "python": {python}, "go": {goLang}}

// java joins frames, causes and whatever else is indented to the line before them, if
// that names a throwable. It has one state.
func java(s State, line []byte) (Verdict, State) {
	switch {
	case s != Closed && (indented(line) || javaLink(line)):
		return Joins, s
	case javaLink(line), namesThrowable(line), indented(line) && bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("at ")):
		return Begins, 1
	}
	return Alone, Closed
}

// javaLink holds for lines that lead to the next throwable of a trace, printed by the
// JVM or, root cause first, by Logback.
func javaLink(line []byte) bool {
	return hasPrefix(line, "Caused by: ", "Wrapped by: ", "Suppressed: ")
}

// namesThrowable looks for a word such as java.io.IOException, or for any class with a
// package or an outer class at the beginning, as in com.acme.OutOfStock: order 7.
func namesThrowable(line []byte) bool {
	word := line[:wordLength(line)]
	if bytes.ContainsAny(word, ".$") && bytes.ContainsAny(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && endsName(line, len(word)) {
		return true
	}
	for _, end := range throwables {
		for at := 0; ; at += len(end) {
			i := bytes.Index(line[at:], end)
			if i < 0 {
				break
			}
			at += i
			after := at + len(end)
			if at > 0 && inWord(line[at-1]) && (after == len(line) || !inWord(line[after])) {
				return true
			}
		}
	}
	return false
}

var throwables = [][]byte{[]byte("Exception"), []byte("Error"), []byte("Throwable")}

// The states of python.
const (
	pythonFrames State = 1 + iota // the exception's own line is to come
	pythonSaid                    // it has come
	pythonLinked                  // and another traceback follows from it
)

// python joins tracebacks, chained ones too. An exception's own line is not indented;
// it is known by standing behind frames.
func python(s State, line []byte) (Verdict, State) {
	blank := len(bytes.TrimSpace(line)) == 0
	if bytes.HasSuffix(line, []byte("Traceback (most recent call last):")) {
		// Those of a group's members stand behind a bar.
		if member := bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("|")); s == pythonLinked || s != Closed && member {
			return Joins, pythonFrames
		}
		return Begins, pythonFrames
	}
	switch {
	case s == Closed:
	case blank:
		return Joins, s
	case s == pythonLinked:
	case indented(line):
		return Joins, s
	case s == pythonFrames && namesException(line):
		return Joins, pythonSaid
	case s == pythonSaid && hasPrefix(line, "During handling of the above exception, another exception occurred:",
		"The above exception was the direct cause of the following exception:"):
		return Joins, pythonLinked
	}
	return Alone, Closed
}

// namesException holds for "KeyboardInterrupt" and "requests.exceptions.Timeout: too
// late".
func namesException(line []byte) bool {
	n := wordLength(line)
	return n > 0 && endsName(line, n)
}

// The states of goLang.
const (
	goMessage State = 1 + iota // of the panic; the stacks are to come
	goStacks
)

// goLang joins panics, fatal errors and what SIGQUIT prints. Up to the first stack
// everything is taken for the panic's message, which may have lines of its own.
func goLang(s State, line []byte) (Verdict, State) {
	stack := bytes.HasPrefix(line, []byte("goroutine ")) || bytes.Equal(line, []byte("runtime stack:"))
	switch {
	case hasPrefix(line, "panic: ") || bytes.Contains(line, []byte("http: panic serving ")):
		return Begins, goMessage
	case s == goMessage && !stack:
		return Joins, goMessage
	case hasPrefix(line, "fatal error: ", "runtime: ", "SIGQUIT: ", "SIGABRT: ", "unexpected fault address "):
		return Begins, goMessage
	case s != Closed && (stack || indented(line) || goLink(line)):
		return Joins, goStacks
	case stack:
		return Begins, goStacks
	}
	return Alone, Closed
}

// goLink holds for the lines of a stack that are not indented: functions, who started
// the goroutine, blanks, registers.
func goLink(line []byte) bool {
	if len(line) == 0 || hasPrefix(line, "created by ", "exit status ", "[signal ", "...") {
		return true
	}
	if open := bytes.IndexByte(line, '('); open > 0 && line[len(line)-1] == ')' {
		return !bytes.ContainsAny(line[:open], " \t")
	}
	name, value, _ := bytes.Cut(line, []byte(" "))
	return len(name) <= 6 && hasPrefix(bytes.TrimLeft(value, " "), "0x")
}

// indented holds for a line that has something behind white space.
func indented(line []byte) bool {
	return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') && len(bytes.TrimSpace(line)) > 0
}

// wordLength is that of the qualified name at the beginning.
func wordLength(line []byte) (n int) {
	for n < len(line) && inWord(line[n]) {
		n++
	}
	return n
}

// endsName holds where an exception's name is over and its message, if any, follows.
func endsName(line []byte, n int) bool { return n == len(line) || line[n] == ':' }

// inWord holds for what a qualified name is made of.
func inWord(c byte) bool {
	return c >= 0x80 || c == '.' || c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func hasPrefix(line []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(line) >= len(p) && string(line[:len(p)]) == p {
			return true
		}
	}
	return false
}
