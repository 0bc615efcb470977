-- What the model endpoint was asked, one row a day, endpoint and model. Counts alone: no text, no user.
CREATE TABLE model_usage (
  -- Of UTC.
  day date NOT NULL,
  -- Host, with its port unless that is the scheme's.
  endpoint text NOT NULL,
  model text NOT NULL,
  -- Requests, those that failed included.
  calls bigint NOT NULL,
  -- A call whose answer never came counts with all that it may have used.
  prompt_tokens bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  -- In the currency of the prices in the settings.
  cost numeric NOT NULL,
  failures bigint NOT NULL,
  PRIMARY KEY (day, endpoint, model)
);

-- What is spent of a day's budget, whichever the endpoint, with what is reserved for calls under way. A host that dies gives nothing back.
CREATE TABLE model_budgets (
  day date PRIMARY KEY,
  tokens bigint NOT NULL,
  -- Billionths of the currency.
  cost bigint NOT NULL
);
