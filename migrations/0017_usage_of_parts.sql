-- phase: expand
-- Up Migration

-- An answer that broke off is on record as far as it came; the attempt that gets further replaces it.
grant update (model, input_tokens, output_tokens) on agents.token_usage to runtime;
