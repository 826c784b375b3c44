// The rows of the library's benchmark in Go: each does what the row of the same name does in C.
//
// Where that has a thread, there is a goroutine here.
package rows_test

import (
	"context"
	"runtime"
	"sort"
	"sync"
	"testing"
	"time"
)

const (
	batch         = 100 // elements that are sent before they are received again
	selecting     = 1000
	parkedSamples = 1500
	parkedAfter   = 100 * time.Microsecond
	cancelRounds  = 9
	idleObjects   = 100000
)

type row struct {
	name string
	fn   func(b *testing.B)
}

// Filled here and by rate_test.go, which is left out where golang.org/x/time is not installed.
var rows = []row{
	{"channel/uncontended", uncontended},
	{"channel/contended", contended},
	{"channel/handoff", handoff},
	{"channel/handoff-parked", once("ns/handoff", handoffParked)},
	{"channel/1p1c-0", producersAndConsumers(1, 0)},
	{"channel/1p1c-10", producersAndConsumers(1, 10)},
	{"channel/1p1c-100", producersAndConsumers(1, 100)},
	{"channel/1p1c-128", producersAndConsumers(1, 128)},
	{"channel/1p1c-1024", producersAndConsumers(1, 1024)},
	{"channel/2p2c-128", producersAndConsumers(2, 128)},
	{"channel/2p2c-1024", producersAndConsumers(2, 1024)},
	{"channel/try-recv-empty-0", tryRecvEmpty(0)},
	{"channel/try-recv-empty-8", tryRecvEmpty(8)},
	{"channel/try-send-full-0", trySendFull(0)},
	{"channel/try-send-full-8", trySendFull(8)},
	{"channel/recv-closed", recvClosed},
	{"channel/create-0", create(0)},
	{"channel/create-8", create(8)},
	{"channel/popular", popular},
	{"select/uncontended", selectUncontended},
	{"select/contended-async", selectContendedAsync},
	{"select/contended-sync", selectContendedSync},
	{"select/nonblocking", selectNonblocking},
	{"select/none-ready", selectNoneReady},
	{"select/1p1c-128", selectProducerAndConsumer(128)},
	{"context/check", contextCheck},
	{"context/check-done", contextCheckDone},
	{"context/create", contextCreate},
	{"context/tree-1", contextTree(1)},
	{"context/tree-100", contextTree(100)},
	{"context/tree-10000", contextTree(10000)},
	{"context/chain-100", contextChain(100)},
	{"context/cancel-10000", once("ns/cancel", func() float64 { return contextCancel(10000) })},
	{"waitgroup/own", waitgroup},
	{"waitgroup/shared", waitgroupShared},
	{"service/round-trip", serviceRoundTrip},
	{"service/tasks", serviceTasks},
	{"pool/round-trip", poolRoundTrip},
	{"pool/tasks", poolTasks},
	{"memory/channel", once("B/channel", channelBytes)},
	{"memory/context", once("B/context", contextBytes)},
}

func BenchmarkRow(b *testing.B) {
	for _, row := range rows {
		b.Run(row.name, row.fn)
	}
}

// report gives a figure that the row has found itself, in place of what the testing package would find.
func report(b *testing.B, figure float64, unit string) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(figure, unit)
}

// once is a row that measures by itself, so that the testing package need not find out how often.
func once(unit string, measure func() float64) func(b *testing.B) {
	var figure float64
	return func(b *testing.B) {
		if b.N == 1 {
			figure = measure()
		}
		report(b, figure, unit)
	}
}

func median(values []float64) float64 {
	sort.Float64s(values)
	return values[len(values)/2]
}

// Channels

func sendAndReceive(c chan int, ops int) {
	for done := 0; done < ops; done += batch {
		for i := 0; i < batch; i++ {
			c <- i
		}
		for i := 0; i < batch; i++ {
			<-c
		}
	}
}

// inParallel runs fn in a goroutine for each processor, each with its share of b.N.
func inParallel(b *testing.B, fn func(ops int)) {
	n := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			defer wg.Done()
			fn(b.N / n)
		}()
	}
	wg.Wait()
}

func uncontended(b *testing.B) {
	inParallel(b, func(ops int) { sendAndReceive(make(chan int, batch), ops) })
}

func contended(b *testing.B) {
	c := make(chan int, batch*runtime.GOMAXPROCS(0))
	inParallel(b, func(ops int) { sendAndReceive(c, ops) })
}

func handoff(b *testing.B) {
	c := make(chan int)
	done := make(chan bool)
	go func() {
		for i := 0; i < b.N/2; i++ {
			<-c
			c <- i
		}
		done <- true
	}()
	for i := 0; i < b.N/2; i++ {
		c <- i
		<-c
	}
	<-done
}

func handoffParked() float64 {
	c := make(chan time.Time)
	received := make(chan float64)
	samples := make([]float64, parkedSamples)
	go func() {
		for i := 0; i < parkedSamples; i++ {
			received <- float64(time.Since(<-c))
		}
	}()
	for i := range samples {
		for began := time.Now(); time.Since(began) < parkedAfter; {
		}
		c <- time.Now()
		samples[i] = <-received
	}
	return median(samples)
}

func producersAndConsumers(pairs, capacity int) func(b *testing.B) {
	return func(b *testing.B) {
		c := make(chan int, capacity)
		var wg sync.WaitGroup
		wg.Add(2 * pairs)
		for p := 0; p < pairs; p++ {
			go func() {
				defer wg.Done()
				for i := 0; i < b.N/pairs; i++ {
					c <- i
				}
			}()
			go func() {
				defer wg.Done()
				for i := 0; i < b.N/pairs; i++ {
					<-c
				}
			}()
		}
		wg.Wait()
	}
}

func tryRecvEmpty(capacity int) func(b *testing.B) {
	return func(b *testing.B) {
		c := make(chan int, capacity)
		inParallel(b, func(ops int) {
			for i := 0; i < ops; i++ {
				select {
				case <-c:
					b.Error("received")
				default:
				}
			}
		})
	}
}

func trySendFull(capacity int) func(b *testing.B) {
	return func(b *testing.B) {
		c := make(chan int, capacity)
		for i := 0; i < capacity; i++ {
			c <- i
		}
		inParallel(b, func(ops int) {
			for i := 0; i < ops; i++ {
				select {
				case c <- i:
					b.Error("sent")
				default:
				}
			}
		})
	}
}

func recvClosed(b *testing.B) {
	c := make(chan int)
	close(c)
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			if _, ok := <-c; ok {
				b.Error("received")
			}
		}
	})
}

func create(capacity int) func(b *testing.B) {
	return func(b *testing.B) {
		inParallel(b, func(ops int) {
			var c chan int
			for i := 0; i < ops; i++ {
				c = make(chan int, capacity)
			}
			runtime.KeepAlive(c)
		})
	}
}

func popular(b *testing.B) {
	all := make(chan int)
	own := make([]chan int, selecting)
	var wg sync.WaitGroup
	wg.Add(selecting)
	for i := range own {
		c := make(chan int)
		own[i] = c
		go func() {
			defer wg.Done()
			for {
				select {
				case _, ok := <-all:
					if !ok {
						return
					}
				case <-c:
				}
			}
		}()
	}
	for _, c := range own {
		c <- 0
	}
	began := time.Now()
	for i := 0; i < b.N; i++ {
		for _, c := range own {
			c <- i
		}
	}
	took := time.Since(began)
	close(all)
	wg.Wait()
	report(b, float64(took)/float64(b.N)/selecting, "ns/send")
}

// Select

func swap(first, second chan int, ops int) {
	for i := 0; i < ops; i++ {
		select {
		case <-first:
			second <- 0
		case <-second:
			first <- 0
		}
	}
}

func selectUncontended(b *testing.B) {
	inParallel(b, func(ops int) {
		first := make(chan int, 1)
		second := make(chan int, 1)
		first <- 0
		swap(first, second, ops)
	})
}

func selectContendedAsync(b *testing.B) {
	first := make(chan int, runtime.GOMAXPROCS(0))
	second := make(chan int, runtime.GOMAXPROCS(0))
	inParallel(b, func(ops int) {
		first <- 0
		swap(first, second, ops)
	})
}

func selectContendedSync(b *testing.B) {
	c1 := make(chan int)
	c2 := make(chan int)
	c3 := make(chan int)
	done := make(chan int)
	var senders sync.WaitGroup
	senders.Add(runtime.GOMAXPROCS(0))
	inParallel(b, func(ops int) {
		go func() {
			defer senders.Done()
			for {
				select {
				case c1 <- 0:
				case c2 <- 0:
				case c3 <- 0:
				case <-done:
					return
				}
			}
		}()
		for i := 0; i < ops; i++ {
			select {
			case <-c1:
			case <-c2:
			case <-c3:
			}
		}
	})
	close(done)
	senders.Wait()
}

func selectNonblocking(b *testing.B) {
	c1 := make(chan int)
	c2 := make(chan int)
	c3 := make(chan int, 1)
	c4 := make(chan int, 1)
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			select {
			case <-c1:
			default:
			}
			select {
			case c2 <- 0:
			default:
			}
			select {
			case <-c3:
			default:
			}
			select {
			case c4 <- 0:
			default:
			}
		}
	})
}

func selectNoneReady(b *testing.B) {
	c1 := make(chan int)
	c2 := make(chan int)
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			select {
			case <-c1:
			case <-c2:
			default:
			}
		}
	})
}

func selectProducerAndConsumer(capacity int) func(b *testing.B) {
	return func(b *testing.B) {
		c := make(chan int, capacity)
		never := make(chan int)
		done := make(chan bool)
		go func() {
			for i := 0; i < b.N; i++ {
				select {
				case <-c:
				case <-never:
				}
			}
			done <- true
		}()
		for i := 0; i < b.N; i++ {
			select {
			case c <- i:
			case <-never:
			}
		}
		<-done
	}
}

// Contexts

func contextCheck(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			if ctx.Err() != nil {
				b.Error("ended")
			}
		}
	})
}

func contextCheckDone(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			select {
			case <-ctx.Done():
				b.Error("ended")
			default:
			}
		}
	})
}

func contextCreate(b *testing.B) {
	parent, end := context.WithCancel(context.Background())
	defer end()
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			_, cancel := context.WithCancel(parent)
			cancel()
		}
	})
}

var (
	children [10000]context.Context
	cancels  [10000]context.CancelFunc
)

func contextTree(count int) func(b *testing.B) {
	return func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			parent, cancel := context.WithCancel(context.Background())
			for j := 0; j < count; j++ {
				children[j], cancels[j] = context.WithCancel(parent)
			}
			cancel()
		}
	}
}

func contextChain(count int) func(b *testing.B) {
	return func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			root, cancel := context.WithCancel(context.Background())
			last := root
			for j := 0; j < count; j++ {
				children[j], cancels[j] = context.WithCancel(last)
				last = children[j]
			}
			cancel()
		}
	}
}

func contextCancel(count int) float64 {
	rounds := make([]float64, cancelRounds)
	for i := range rounds {
		parent, cancel := context.WithCancel(context.Background())
		for j := 0; j < count; j++ {
			children[j], cancels[j] = context.WithCancel(parent)
			_ = children[j].Done()
		}
		began := time.Now()
		cancel()
		rounds[i] = float64(time.Since(began))
	}
	return median(rounds)
}

// The rest

func waitgroup(b *testing.B) {
	inParallel(b, func(ops int) {
		var wg sync.WaitGroup
		for i := 0; i < ops; i++ {
			wg.Add(1)
			wg.Done()
		}
	})
}

func waitgroupShared(b *testing.B) {
	var wg sync.WaitGroup
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			wg.Add(1)
			wg.Done()
		}
	})
}

// startWorkers is what stands for a service in Go: goroutines that range over a channel of tasks.
func startWorkers[T any](tasks chan T, run func(task T)) *sync.WaitGroup {
	n := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			defer wg.Done()
			for task := range tasks {
				run(task)
			}
		}()
	}
	return &wg
}

func serviceRoundTrip(b *testing.B) {
	tasks := make(chan *int, 1)
	answers := make(chan *int, 1)
	workers := startWorkers(tasks, func(task *int) { answers <- task })
	task := new(int)
	for i := 0; i < b.N; i++ {
		tasks <- task
		<-answers
	}
	close(tasks)
	workers.Wait()
}

func serviceTasks(b *testing.B) {
	tasks := make(chan *int, 128)
	var left sync.WaitGroup
	workers := startWorkers(tasks, func(task *int) { left.Done() })
	task := new(int)
	for i := 0; i < b.N; i++ {
		left.Add(1)
		tasks <- task
	}
	left.Wait()
	close(tasks)
	workers.Wait()
}

type result struct {
	err                error
	startedAt, endedAt time.Time
}

func poolRoundTrip(b *testing.B) {
	tasks := make(chan func() error, 1)
	results := make(chan result, 1)
	workers := startWorkers(tasks, func(task func() error) {
		startedAt := time.Now()
		err := task()
		results <- result{err, startedAt, time.Now()}
	})
	for i := 0; i < b.N; i++ {
		tasks <- func() error { return nil }
		<-results
	}
	close(tasks)
	workers.Wait()
}

func poolTasks(b *testing.B) {
	tasks := make(chan func(), 128)
	var left sync.WaitGroup
	workers := startWorkers(tasks, func(task func()) { task() })
	for i := 0; i < b.N; i++ {
		left.Add(1)
		tasks <- func() { left.Done() }
	}
	left.Wait()
	close(tasks)
	workers.Wait()
}

func bytesInUse() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

func channelBytes() float64 {
	idle := make([]chan int, idleObjects)
	before := bytesInUse()
	for i := range idle {
		idle[i] = make(chan int)
	}
	after := bytesInUse()
	runtime.KeepAlive(idle)
	return (after - before) / idleObjects
}

func contextBytes() float64 {
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	idle := make([]context.Context, idleObjects)
	ends := make([]context.CancelFunc, idleObjects)
	before := bytesInUse()
	for i := range idle {
		idle[i], ends[i] = context.WithCancel(parent)
	}
	after := bytesInUse()
	runtime.KeepAlive(idle)
	runtime.KeepAlive(ends)
	return (after - before) / idleObjects
}
