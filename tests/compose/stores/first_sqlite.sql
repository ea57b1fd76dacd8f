-- The tables of the first stores, as SQLite had them.

CREATE TABLE "store_meta" (
  "name" TEXT NOT NULL,
  "value" TEXT NOT NULL,
  PRIMARY KEY ("name")
) STRICT;
CREATE TABLE "payloads" (
  "payload_hash" TEXT NOT NULL,
  "format_version" INTEGER NOT NULL,
  "type_name" TEXT NOT NULL,
  "restorable" INTEGER NOT NULL,
  "text" TEXT NOT NULL,
  PRIMARY KEY ("payload_hash"),
  CONSTRAINT "ck_55201e7b_payloads.restorable" CHECK ("restorable" IN (0, 1))
) STRICT;
CREATE TABLE "graphs" (
  "graph_hash" TEXT NOT NULL,
  "nodes" TEXT NOT NULL,
  "edges" TEXT NOT NULL,
  "code_hashes" TEXT NOT NULL,
  PRIMARY KEY ("graph_hash")
) STRICT;
CREATE TABLE "dag_runs" (
  "run_id" TEXT NOT NULL,
  "dag_nsref" TEXT,
  "path" TEXT NOT NULL,
  "parent_run_id" TEXT,
  "status" TEXT NOT NULL,
  "started_at" TEXT NOT NULL,
  "finished_at" TEXT,
  "failed_node" TEXT,
  "error" TEXT,
  "source_inputs" TEXT,
  "sink_outputs" TEXT,
  "graph_hash" TEXT,
  "tenant" TEXT,
  "initiated_by" TEXT,
  "owner" TEXT,
  "heartbeat_at" TEXT,
  "pinned" INTEGER NOT NULL,
  PRIMARY KEY ("run_id"),
  CONSTRAINT "ck_256e6420_dag_runs.status" CHECK ("status" IN ('running', 'completed', 'failed', 'paused', 'cancelled')),
  CONSTRAINT "ck_79f1e9a0_dag_runs.pinned" CHECK ("pinned" IN (0, 1)),
  CONSTRAINT "fk_dag_runs_parent_run_id_3d41a9f7" FOREIGN KEY ("parent_run_id") REFERENCES "dag_runs" ("run_id") ON DELETE CASCADE,
  CONSTRAINT "fk_dag_runs_source_inputs_a379d905" FOREIGN KEY ("source_inputs") REFERENCES "payloads" ("payload_hash"),
  CONSTRAINT "fk_dag_runs_sink_outputs_15e6a62c" FOREIGN KEY ("sink_outputs") REFERENCES "payloads" ("payload_hash"),
  CONSTRAINT "fk_dag_runs_graph_hash_418ab575" FOREIGN KEY ("graph_hash") REFERENCES "graphs" ("graph_hash")
) STRICT;
CREATE INDEX "ix_dag_runs_parent_run_id_4816d11e" ON "dag_runs" ("parent_run_id");
CREATE INDEX "ix_dag_runs_started_at_4ddc5cef" ON "dag_runs" ("started_at");
CREATE INDEX "ix_dag_runs_status_started_at_240b5109" ON "dag_runs" ("status", "started_at");
CREATE INDEX "ix_dag_runs_source_inputs_8c59967e" ON "dag_runs" ("source_inputs");
CREATE INDEX "ix_dag_runs_sink_outputs_020adb45" ON "dag_runs" ("sink_outputs");
CREATE INDEX "ix_dag_runs_graph_hash_ad11d0a4" ON "dag_runs" ("graph_hash");
CREATE TABLE "node_executions" (
  "node_execution_id" INTEGER PRIMARY KEY,
  "run_id" TEXT NOT NULL,
  "path" TEXT NOT NULL,
  "node_label" TEXT NOT NULL,
  "map_key" TEXT NOT NULL,
  "status" TEXT NOT NULL,
  "is_source" INTEGER NOT NULL,
  "is_sink" INTEGER NOT NULL,
  "started_at" TEXT,
  "finished_at" TEXT,
  "error" TEXT,
  "input_payload" TEXT,
  "output_payload" TEXT,
  "reused_from" TEXT,
  CONSTRAINT "ck_47613974_node_executions.status" CHECK ("status" IN ('pending', 'running', 'completed', 'failed', 'skipped', 'upstream_failed', 'cancelled')),
  CONSTRAINT "ck_9926e104_node_executions.is_source" CHECK ("is_source" IN (0, 1)),
  CONSTRAINT "ck_f6f04135_node_executions.is_sink" CHECK ("is_sink" IN (0, 1)),
  CONSTRAINT "fk_node_executions_run_id_a4bb1811" FOREIGN KEY ("run_id") REFERENCES "dag_runs" ("run_id") ON DELETE CASCADE,
  CONSTRAINT "fk_node_executions_input_payload_7ff8b008" FOREIGN KEY ("input_payload") REFERENCES "payloads" ("payload_hash"),
  CONSTRAINT "fk_node_executions_output_payload_a947cf04" FOREIGN KEY ("output_payload") REFERENCES "payloads" ("payload_hash")
) STRICT;
CREATE UNIQUE INDEX "uq_node_executions_run_id_path_node_label_map_key_e383de1a" ON "node_executions" ("run_id", "path", "node_label", "map_key");
CREATE INDEX "ix_node_executions_input_payload_f3413ea8" ON "node_executions" ("input_payload");
CREATE INDEX "ix_node_executions_output_payload_59d45ceb" ON "node_executions" ("output_payload");
CREATE TABLE "node_attempts" (
  "node_attempt_id" INTEGER PRIMARY KEY,
  "node_execution_id" INTEGER NOT NULL,
  "number" INTEGER NOT NULL,
  "fence" INTEGER NOT NULL,
  "owner" TEXT,
  "status" TEXT NOT NULL,
  "error" TEXT,
  "started_at" TEXT NOT NULL,
  "finished_at" TEXT,
  CONSTRAINT "ck_47613974_node_attempts.status" CHECK ("status" IN ('pending', 'running', 'completed', 'failed', 'skipped', 'upstream_failed', 'cancelled')),
  CONSTRAINT "fk_node_attempts_node_execution_id_ea7893ee" FOREIGN KEY ("node_execution_id") REFERENCES "node_executions" ("node_execution_id") ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX "uq_node_attempts_node_execution_id_number_9fa95098" ON "node_attempts" ("node_execution_id", "number");
CREATE TABLE "edge_traversals" (
  "edge_traversal_id" INTEGER PRIMARY KEY,
  "run_id" TEXT NOT NULL,
  "path" TEXT NOT NULL,
  "map_key" TEXT NOT NULL,
  "upstream_label" TEXT NOT NULL,
  "downstream_label" TEXT NOT NULL,
  "param" TEXT,
  "rule" TEXT NOT NULL,
  "traversed_at" TEXT NOT NULL,
  CONSTRAINT "ck_4c688628_edge_traversals.rule" CHECK ("rule" IN ('edge', 'label', 'type', 'list', 'dict', 'only', 'order')),
  CONSTRAINT "fk_edge_traversals_run_id_97720310" FOREIGN KEY ("run_id") REFERENCES "dag_runs" ("run_id") ON DELETE CASCADE
) STRICT;
CREATE INDEX "ix_edge_traversals_run_id_cfcc67a8" ON "edge_traversals" ("run_id");
CREATE TABLE "row_origins" (
  "row_origin_id" INTEGER PRIMARY KEY,
  "node_attempt_id" INTEGER NOT NULL,
  "table_name" TEXT NOT NULL,
  "first_key" INTEGER,
  "last_key" INTEGER,
  "key_text" TEXT,
  CONSTRAINT "fk_row_origins_node_attempt_id_d8338506" FOREIGN KEY ("node_attempt_id") REFERENCES "node_attempts" ("node_attempt_id") ON DELETE CASCADE
) STRICT;
CREATE INDEX "ix_row_origins_table_name_first_key_37c829a1" ON "row_origins" ("table_name", "first_key");
CREATE INDEX "ix_row_origins_node_attempt_id_343494c2" ON "row_origins" ("node_attempt_id");
