-- How often streams of a kind change, learnt from all of them: what is assumed of a stream about which little is known.
CREATE TABLE pace_priors (
  service text NOT NULL,
  kind text NOT NULL,
  -- A gamma distribution of changes per hour: it counts as this many changes seen in this many hours.
  changes double precision NOT NULL,
  hours double precision NOT NULL,
  -- Shares of changes that follow from others within minutes, an hour, a working day, a few days.
  followers double precision[] NOT NULL,
  streams bigint NOT NULL,
  fitted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (service, kind)
);
