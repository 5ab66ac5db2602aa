package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Usage is what a process took of the machine.
type Usage struct {
	CPU     time.Duration // user and system
	PeakRSS int64         // bytes
}

func (u Usage) plus(o Usage) Usage {
	return Usage{CPU: u.CPU + o.CPU, PeakRSS: max(u.PeakRSS, o.PeakRSS)}
}

// Usage is the CPU time of all lives so far and the highest peak of resident memory
// among them, looked at ten times a second and now. (The exit status has a peak
// too, but a child's begins with what its parent had when it was started.)
func (p *Process) Usage() Usage {
	p.mu.Lock()
	l, past := p.life, p.past
	p.mu.Unlock()
	if l == nil {
		return past
	}
	select {
	case <-l.exited:
		return past.plus(l.usage)
	default:
	}
	pid := l.cmd.Process.Pid
	return past.plus(Usage{CPU: cpuTime(pid), PeakRSS: peakRSS(pid)})
}

// peakRSS reads VmHWM of proc(5); 0 where there is none.
func peakRSS(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, found := bytes.Cut(text, []byte("VmHWM:"))
	if !found {
		return 0
	}
	kib, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
	n, err := strconv.ParseInt(string(kib), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// clockTick is the unit of CPU times in proc(5); 100 a second on all Linux.
const clockTick = 10 * time.Millisecond

// cpuTime reads utime and stime of proc(5); 0 where there are none.
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, the only field that may hold spaces, ends with the last parenthesis;
	// behind it state is field 3, utime 14, stime 15.
	i := bytes.LastIndexByte(text, ')')
	fields := bytes.Fields(text[i+1:])
	if i < 0 || len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return time.Duration(user+system) * clockTick
}

// stopped reports whether every thread of a process stands still, by proc(5).
func stopped(pid int) bool {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, t := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, t.Name()))
		if err != nil {
			continue // it has ended
		}
		state := bytes.TrimSpace(text[bytes.LastIndexByte(text, ')')+1:])
		if !bytes.HasPrefix(state, []byte("T")) {
			return false
		}
	}
	return true
}
