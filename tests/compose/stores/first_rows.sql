-- Three runs of one -> double -> text: one whose last node failed, one that completed, and one that
-- was killed in its last node.

INSERT INTO payloads (payload_hash, format_version, type_name, restorable, text) VALUES
  ('8930ac991bacfa0c7af0df4f0ca240c3d11f84bbb07b572ebe7b039e354344bc', 1, 'inputs', '1', '{"text":{"prefix":"x"}}'),
  ('1e898f0f0d384d05ffc6e47736c7c77913397f621b475e9ba8cd1bc6c2f986c1', 1, 'builtins:int', '1', '1'),
  ('d770ef059df14ba1fd6a2a75cee3610de0d335d523569b988af6b024ff28a75f', 1, 'builtins:int', '1', '2'),
  ('9f1c8dbba6bf40fb5162604c417941262bb9e8d8605e3bacc040b043895b3ead', 1, 'builtins:str', '1', '"x2"');

INSERT INTO graphs (graph_hash, nodes, edges, code_hashes) VALUES
  ('6404a41d03e629fa727db30680b085bd936698f0a97651202c883e5de0fcfe58', '["one","double","text"]', '[["one","double","x","type"],["double","text","x","type"]]', '{"one":"unknown","double":"unknown","text":"unknown"}');

INSERT INTO dag_runs (run_id, dag_nsref, path, parent_run_id, status, started_at, finished_at, failed_node, error, source_inputs, sink_outputs, graph_hash, tenant, initiated_by, owner, heartbeat_at, pinned) VALUES
  ('run-1', 'shop:prices', '', NULL, 'failed', '2025-03-01T10:04:35.041603Z', '2025-03-01T10:04:35.081080Z', 'text', 'LookupError: nothing', '8930ac991bacfa0c7af0df4f0ca240c3d11f84bbb07b572ebe7b039e354344bc', NULL, '6404a41d03e629fa727db30680b085bd936698f0a97651202c883e5de0fcfe58', NULL, NULL, NULL, NULL, '0'),
  ('run-2', 'shop:prices', '', NULL, 'completed', '2025-03-01T10:04:35.083392Z', '2025-03-01T10:04:35.096642Z', NULL, NULL, '8930ac991bacfa0c7af0df4f0ca240c3d11f84bbb07b572ebe7b039e354344bc', NULL, '6404a41d03e629fa727db30680b085bd936698f0a97651202c883e5de0fcfe58', NULL, NULL, NULL, NULL, '0'),
  ('run-3', 'shop:prices', '', NULL, 'running', '2025-03-01T10:04:35.098331Z', NULL, NULL, NULL, '8930ac991bacfa0c7af0df4f0ca240c3d11f84bbb07b572ebe7b039e354344bc', NULL, '6404a41d03e629fa727db30680b085bd936698f0a97651202c883e5de0fcfe58', NULL, NULL, NULL, NULL, '0');

INSERT INTO node_executions (run_id, path, node_label, map_key, status, is_source, is_sink, started_at, finished_at, error, input_payload, output_payload, reused_from) VALUES
  ('run-1', '', 'one', '', 'completed', '1', '0', '2025-03-01T10:04:35.056254Z', '2025-03-01T10:04:35.061830Z', NULL, NULL, '1e898f0f0d384d05ffc6e47736c7c77913397f621b475e9ba8cd1bc6c2f986c1', NULL),
  ('run-1', '', 'double', '', 'completed', '0', '0', '2025-03-01T10:04:35.071753Z', '2025-03-01T10:04:35.072210Z', NULL, NULL, 'd770ef059df14ba1fd6a2a75cee3610de0d335d523569b988af6b024ff28a75f', NULL),
  ('run-1', '', 'text', '', 'failed', '0', '1', '2025-03-01T10:04:35.075047Z', '2025-03-01T10:04:35.075588Z', 'Traceback (most recent call last):
LookupError: nothing
', NULL, NULL, NULL),
  ('run-2', '', 'one', '', 'completed', '1', '0', '2025-03-01T10:04:35.085764Z', '2025-03-01T10:04:35.086267Z', NULL, NULL, '1e898f0f0d384d05ffc6e47736c7c77913397f621b475e9ba8cd1bc6c2f986c1', NULL),
  ('run-2', '', 'double', '', 'completed', '0', '0', '2025-03-01T10:04:35.089528Z', '2025-03-01T10:04:35.090081Z', NULL, NULL, 'd770ef059df14ba1fd6a2a75cee3610de0d335d523569b988af6b024ff28a75f', NULL),
  ('run-2', '', 'text', '', 'completed', '0', '1', '2025-03-01T10:04:35.095239Z', '2025-03-01T10:04:35.095620Z', NULL, NULL, '9f1c8dbba6bf40fb5162604c417941262bb9e8d8605e3bacc040b043895b3ead', NULL),
  ('run-3', '', 'one', '', 'completed', '1', '0', '2025-03-01T10:04:35.100323Z', '2025-03-01T10:04:35.100809Z', NULL, NULL, '1e898f0f0d384d05ffc6e47736c7c77913397f621b475e9ba8cd1bc6c2f986c1', NULL),
  ('run-3', '', 'double', '', 'completed', '0', '0', '2025-03-01T10:04:35.102733Z', '2025-03-01T10:04:35.103151Z', NULL, NULL, 'd770ef059df14ba1fd6a2a75cee3610de0d335d523569b988af6b024ff28a75f', NULL),
  ('run-3', '', 'text', '', 'running', '0', '1', '2025-03-01T10:04:35.104680Z', NULL, NULL, NULL, NULL, NULL);

INSERT INTO node_attempts (node_execution_id, number, fence, owner, status, error, started_at, finished_at) VALUES
  (1, 1, 1, NULL, 'completed', NULL, '2025-03-01T10:04:35.056254Z', '2025-03-01T10:04:35.061830Z'),
  (2, 1, 1, NULL, 'completed', NULL, '2025-03-01T10:04:35.071753Z', '2025-03-01T10:04:35.072210Z'),
  (3, 1, 1, NULL, 'failed', 'Traceback (most recent call last):
LookupError: nothing
', '2025-03-01T10:04:35.075047Z', '2025-03-01T10:04:35.075588Z'),
  (4, 1, 1, NULL, 'completed', NULL, '2025-03-01T10:04:35.085764Z', '2025-03-01T10:04:35.086267Z'),
  (5, 1, 1, NULL, 'completed', NULL, '2025-03-01T10:04:35.089528Z', '2025-03-01T10:04:35.090081Z'),
  (6, 1, 1, NULL, 'completed', NULL, '2025-03-01T10:04:35.095239Z', '2025-03-01T10:04:35.095620Z'),
  (7, 1, 1, NULL, 'completed', NULL, '2025-03-01T10:04:35.100323Z', '2025-03-01T10:04:35.100809Z'),
  (8, 1, 1, NULL, 'completed', NULL, '2025-03-01T10:04:35.102733Z', '2025-03-01T10:04:35.103151Z'),
  (9, 1, 1, NULL, 'running', NULL, '2025-03-01T10:04:35.104680Z', NULL);

INSERT INTO edge_traversals (run_id, path, map_key, upstream_label, downstream_label, param, rule, traversed_at) VALUES
  ('run-1', '', '', 'one', 'double', 'x', 'type', '2025-03-01T10:04:35.061830Z'),
  ('run-1', '', '', 'double', 'text', 'x', 'type', '2025-03-01T10:04:35.072210Z'),
  ('run-2', '', '', 'one', 'double', 'x', 'type', '2025-03-01T10:04:35.086267Z'),
  ('run-2', '', '', 'double', 'text', 'x', 'type', '2025-03-01T10:04:35.090081Z'),
  ('run-3', '', '', 'one', 'double', 'x', 'type', '2025-03-01T10:04:35.100809Z'),
  ('run-3', '', '', 'double', 'text', 'x', 'type', '2025-03-01T10:04:35.103151Z');

INSERT INTO store_meta (name, value) VALUES
  ('version', '1');
