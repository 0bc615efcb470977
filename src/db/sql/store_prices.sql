-- Replaces the poll prices of the projects of a service, and of users with their own price.
-- $1 service, $2…$9 one array per column of pace_prices, $10 users, $11 their prices
WITH gone AS (
  DELETE FROM pace_prices WHERE service = $1 AND project <> ALL ($2)
), gone_users AS (
  DELETE FROM pace_user_prices WHERE service = $1 AND user_id <> ALL ($10)
), priced AS (
  INSERT INTO pace_prices (service, project, price, budget, foretold, spent, spent_in_hour, streams, polls)
  SELECT $1, * FROM unnest($2::text[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[], $9::float8[])
  ON CONFLICT (service, project) DO UPDATE SET price = excluded.price, budget = excluded.budget, foretold = excluded.foretold,
    spent = excluded.spent, spent_in_hour = excluded.spent_in_hour, streams = excluded.streams, polls = excluded.polls,
    computed_at = now()
)
INSERT INTO pace_user_prices (service, user_id, price)
SELECT $1, u.id, p.price FROM unnest($10::uuid[], $11::float8[]) AS p (id, price) JOIN users u USING (id)
ON CONFLICT (service, user_id) DO UPDATE SET price = excluded.price
