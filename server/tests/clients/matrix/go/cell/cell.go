// Package cell is what the Go programs of the matrix share: records, verdicts, the lines on standard output, the group
// that flows.
package cell

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Records of a flowing group, members that take them.
const (
	Flowing = 600
	members = 3
)

var (
	Address   = os.Args[1]
	prefix    = os.Args[2]
	Codecs    = []string{"none", "gzip", "snappy", "lz4", "zstd"}
	Large     = []byte(strings.Repeat("0123456789abcdef", 900*1024/16))
	EveryByte = everyByte()
	Started   = time.UnixMilli(time.Now().UnixMilli() - 3_600_000)
)

// errLacks marks what the client itself cannot do.
var errLacks = errors.New("")

// Lacks is a scenario that the client has nothing for.
func Lacks(reason string) func() (string, error) {
	return func() (string, error) { return "", fmt.Errorf("%s%w", reason, errLacks) }
}

// Plain is a scenario without a remark.
func Plain(scenario func() error) func() (string, error) {
	return func() (string, error) { return "", scenario() }
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func Topic(name string) string { return prefix + "-" + name }
func Key(i int) []byte         { return fmt.Appendf(nil, "k-%d", i) }
func Value(i int) []byte       { return []byte(strings.Repeat(fmt.Sprintf("v-%d ", i), 20)) }

// Same compares what was got with what was wanted.
func Same(what string, got, want any) error {
	if reflect.DeepEqual(got, want) {
		return nil
	}
	return fmt.Errorf("%s: %s instead of %s", what, short(got), short(want))
}

func short(thing any) string {
	text := fmt.Sprintf("%q", thing)
	if len(text) < 120 {
		return text
	}
	return text[:60] + "…" + text[len(text)-50:]
}

// Numbers are those below n.
func Numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Waited asks until the answer is true.
func Waited(limit time.Duration, what string, ready func() bool) error {
	for end := time.Now().Add(limit); !ready(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited %v for %s", limit, what)
		}
	}
	return nil
}

var answers = bufio.NewReader(os.Stdin)

// RestartBegins has the driver kill the broker and start it again while the program goes on.
func RestartBegins() { fmt.Println("restart") }

// RestartIsOver waits for the driver's word.
func RestartIsOver() error {
	line, err := answers.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "restarted" {
		return errors.New("the driver did not restart the broker")
	}
	return nil
}

// Ledger is what the members of one group saw: each record at least once, none again after its commit.
type Ledger struct {
	lock                   sync.Mutex
	seen, committed, again map[string]bool
}

func newLedger() *Ledger {
	return &Ledger{seen: map[string]bool{}, committed: map[string]bool{}, again: map[string]bool{}}
}

// Receive notes that a member got the record.
func (l *Ledger) Receive(value []byte) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.seen[string(value)] = true
	if l.committed[string(value)] {
		l.again[string(value)] = true
	}
}

// Commit notes that the broker acknowledged the record's commit.
func (l *Ledger) Commit(value []byte) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.committed[string(value)] = true
}

func (l *Ledger) settled() bool {
	l.lock.Lock()
	defer l.lock.Unlock()
	return len(l.committed) == Flowing
}

// Work is one member's part until `done`.
type Work func(ledger *Ledger, done <-chan struct{}) error

// Flow has three members join one after another and the first leave, while records flow.
func Flow(send func(i int) error, work Work) error {
	ledger := newLedger()
	var stops []chan struct{}
	ended := make(chan error, members)
	for i := range Flowing {
		if i%(Flowing/4) == 0 {
			if len(stops) < members {
				stop := make(chan struct{})
				stops = append(stops, stop)
				go func() { ended <- work(ledger, stop) }()
			} else {
				close(stops[0])
			}
		}
		if err := send(i); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = Waited(40*time.Second, "every commit", ledger.settled)
	for _, stop := range stops[1:] {
		close(stop)
	}
	for range stops {
		if err := <-ended; err != nil {
			return err
		}
	}
	if lost, again := Flowing-len(ledger.seen), len(ledger.again); lost > 0 || again > 0 {
		return fmt.Errorf("%d records lost, %d seen again after their commit", lost, again)
	}
	return nil
}

// Main runs the scenarios that were asked for and prints their lines.
func Main(client, module string, scenarios map[string]func() (string, error)) {
	fmt.Println("version", client, version(module))
	for _, name := range os.Args[3:] {
		remark, err := scenarios[name]()
		switch said := strings.Join(strings.Fields(fmt.Sprint(err)), " "); {
		case err == nil:
			fmt.Println(strings.TrimSpace("ok " + name + " " + remark))
		case errors.Is(err, errLacks):
			fmt.Println("n/a", name, said)
		default:
			fmt.Println("FAILED", name, said[:min(len(said), 300)])
		}
	}
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return "unknown"
}
