-- One look at PostgreSQL, as one JSON document. A standby's functions and a primary's exclude each other, so every one of
-- them stands behind a CASE.
WITH place AS MATERIALIZED (
    SELECT pg_is_in_recovery() AS recovering,
           (SELECT bytes_per_wal_segment FROM pg_control_init())::bigint AS segment_bytes
), log AS MATERIALIZED (
    SELECT recovering, segment_bytes,
           CASE WHEN recovering THEN pg_last_wal_receive_lsn() END AS received,
           CASE WHEN recovering THEN pg_last_wal_replay_lsn() END AS replayed,
           CASE WHEN recovering THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_flush_lsn() END AS flushed,
           startup.wait_event AS startup_waits_for,
           coalesce(startup.wait_event LIKE 'RecoveryConflict%' OR startup.wait_event_type IN ('Lock', 'BufferPin'), false)
               AS replay_blocked
    FROM place LEFT JOIN pg_stat_activity AS startup ON startup.backend_type = 'startup'
), receiver AS MATERIALIZED (
    -- The view hides a receiver that has not connected yet; the list of processes does not.
    SELECT a.pid, r.status, r.received_tli, r.sender_host, r.slot_name
    FROM pg_stat_activity a LEFT JOIN pg_stat_wal_receiver r ON r.pid = a.pid
    WHERE a.backend_type = 'walreceiver' LIMIT 1
), segment AS MATERIALIZED (
    -- The name, without its timeline, of the segment that holds the last flushed byte.
    SELECT lpad(upper(to_hex(n / per_id)), 8, '0') || lpad(upper(to_hex(n % per_id)), 8, '0') AS name
    FROM log, LATERAL (SELECT 4294967296 / segment_bytes AS per_id,
                              greatest(flushed - '0/1'::pg_lsn, 0)::bigint / segment_bytes AS n) AS s
), timeline AS MATERIALIZED (
    -- Until its first checkpoint after a promotion, the control file of PostgreSQL 15 names the former timeline.
    SELECT CASE WHEN NOT recovering
                THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
                ELSE greatest((SELECT received_tli FROM receiver),
                              (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                              (SELECT timeline_id FROM pg_control_checkpoint()),
                              (SELECT max(('x' || left(w.name, 8))::bit(32)::int) FROM pg_ls_waldir() w, segment s
                               WHERE w.name ~ '^[0-9A-F]{24}$' AND substr(w.name, 9) = s.name)) END AS id
    FROM log
)
SELECT json_build_object(
    'recovering', recovering,
    'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
    'received', received,
    'replayed', replayed,
    'flushed', flushed,
    'startup_waits_for', startup_waits_for,
    'replay_blocked', replay_blocked,
    'replay_paused', CASE WHEN recovering THEN pg_get_wal_replay_pause_state() <> 'not paused' ELSE false END,
    'timeline', id,
    'history', CASE WHEN id > 1
        THEN pg_read_file('pg_wal/' || lpad(upper(to_hex(id)), 8, '0') || '.history', 0, 1048576, true) END,
    'receiver', (SELECT json_build_object('pid', pid, 'status', coalesce(status, 'starting'),
                                          'upstream', sender_host, 'slot', slot_name) FROM receiver),
    'senders', (SELECT coalesce(json_agg(json_build_object(
                    'application_name', application_name, 'state', coalesce(state, 'unknown'), 'flushed', flush_lsn,
                    'replayed', replay_lsn, 'sync_state', coalesce(sync_state, 'unknown'),
                    'sync_priority', coalesce(sync_priority, 0))), '[]')
                FROM pg_stat_replication),
    'synchronous_standby_names', current_setting('synchronous_standby_names'),
    'pending_restart', (SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE pending_restart)
)::text
FROM log, timeline
