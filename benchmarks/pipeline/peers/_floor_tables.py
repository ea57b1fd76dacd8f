"""What the hand-written loop writes into: the facts, and the indexes that reading them needs."""

from __future__ import annotations

TABLES = """
CREATE TABLE payloads (
  payload_hash TEXT PRIMARY KEY NOT NULL, format_version INTEGER NOT NULL,
  type_name TEXT NOT NULL, restorable INTEGER NOT NULL CHECK (restorable IN (0, 1)),
  text TEXT NOT NULL
) STRICT;
CREATE TABLE graphs (
  graph_hash TEXT PRIMARY KEY NOT NULL, nodes TEXT NOT NULL, edges TEXT NOT NULL
) STRICT;
CREATE TABLE dag_runs (
  run_id TEXT PRIMARY KEY NOT NULL, path TEXT NOT NULL,
  parent_run_id TEXT REFERENCES dag_runs ON DELETE CASCADE, parent_label TEXT,
  map_key TEXT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('running', 'completed', 'failed', 'paused', 'cancelled')),
  started_at TEXT NOT NULL, finished_at TEXT, failed_node TEXT, error TEXT,
  source_inputs TEXT REFERENCES payloads, graph_hash TEXT REFERENCES graphs,
  owner TEXT, fence INTEGER NOT NULL, heartbeat_at TEXT
) STRICT;
CREATE INDEX run_parent ON dag_runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX run_outermost ON dag_runs (started_at) WHERE parent_run_id IS NULL;
CREATE INDEX run_started ON dag_runs (started_at);
CREATE INDEX run_status ON dag_runs (status, started_at);
CREATE INDEX run_graph ON dag_runs (graph_hash);
CREATE INDEX run_inputs ON dag_runs (source_inputs) WHERE source_inputs IS NOT NULL;
CREATE TABLE node_executions (
  node_execution_id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES dag_runs ON DELETE CASCADE,
  path TEXT NOT NULL, node_label TEXT NOT NULL, map_key TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'skipped',
    'upstream_failed', 'cancelled')),
  is_source INTEGER NOT NULL CHECK (is_source IN (0, 1)),
  is_sink INTEGER NOT NULL CHECK (is_sink IN (0, 1)),
  started_at TEXT, finished_at TEXT, error TEXT,
  output_payload TEXT REFERENCES payloads
) STRICT;
CREATE UNIQUE INDEX node_place ON node_executions (run_id, path, node_label, map_key);
CREATE INDEX node_output ON node_executions (output_payload) WHERE output_payload IS NOT NULL;
CREATE TABLE node_attempts (
  node_attempt_id INTEGER PRIMARY KEY,
  node_execution_id INTEGER NOT NULL REFERENCES node_executions ON DELETE CASCADE,
  number INTEGER NOT NULL, fence INTEGER NOT NULL, owner TEXT,
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'skipped',
    'upstream_failed', 'cancelled')),
  error TEXT, started_at TEXT NOT NULL, finished_at TEXT
) STRICT;
CREATE UNIQUE INDEX attempt_number ON node_attempts (node_execution_id, number);
CREATE TABLE edge_traversals (
  edge_traversal_id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES dag_runs ON DELETE CASCADE,
  path TEXT NOT NULL, map_key TEXT NOT NULL,
  upstream_label TEXT NOT NULL, downstream_label TEXT NOT NULL, param TEXT,
  rule TEXT NOT NULL CHECK (rule IN ('edge', 'label', 'type', 'list', 'dict', 'only', 'order')),
  traversed_at TEXT NOT NULL
) STRICT;
CREATE INDEX edge_run ON edge_traversals (run_id);
"""
