package contract_test

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel end the server when the test is killed and cannot.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
