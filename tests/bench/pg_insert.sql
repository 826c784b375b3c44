INSERT INTO jobs(queue, kind, payload) VALUES ('default', 'noop', repeat('p', 150));
