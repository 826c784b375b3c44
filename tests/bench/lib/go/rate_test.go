package rows_test

import (
	"testing"
	"time"

	"golang.org/x/time/rate"
)

func init() {
	rows = append(rows, row{"limiter/allow", limiterAllow}, row{"limiter/refuse", limiterRefuse})
}

func limiterAllow(b *testing.B) {
	limiter := rate.NewLimiter(1e9, 1000000)
	inParallel(b, func(ops int) {
		for i := 0; i < ops; i++ {
			limiter.Allow()
		}
	})
}

func limiterRefuse(b *testing.B) {
	limiter := rate.NewLimiter(1, 1)
	inParallel(b, func(ops int) {
		now := time.Now()
		for i := 0; i < ops; i++ {
			limiter.AllowN(now, 1)
		}
	})
}
