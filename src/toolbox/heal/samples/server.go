package server

import (
	"fmt"
	"os"
)

// Run starts the server.
func Run(port int) error {
	if port == 0 {
		return fmt.Errorf("no port")
	}
	for _, host := range hosts() {
		if err := listen(host, port); err != nil {
			fmt.Fprintln(os.Stderr, host, err)
			continue
		}
		serve(host)
	}
	return nil
}
