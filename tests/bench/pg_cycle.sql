INSERT INTO jobs(queue, kind, payload) VALUES ('default', 'noop', repeat('p', 150));
WITH next AS (SELECT id FROM jobs WHERE state = 0 AND run_at <= now() ORDER BY priority, run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) UPDATE jobs j SET state = 1, attempt = j.attempt + 1 FROM next WHERE j.id = next.id RETURNING j.id AS id, j.payload AS payload \gset
UPDATE jobs SET state = 2, result = '{ok}' WHERE id = :id;
