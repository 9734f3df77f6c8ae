// A peer on Node.js that keeps the wire contract with node:crypto alone: one JSON question a line in, one answer out.
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { createInterface } from 'node:readline';

const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };
const RESERVED = new Set(['aud', 'exp', 'iat', 'iss', 'jti', 'nbf', 'token_use']);

class Refused extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

function resolved(settings) {
  const { name = 'lionrock-session', algorithm = 'HS256', expires = 7200, clockTolerance = 60 } = settings;
  const refresh = settings.refreshToken === true ? {} : settings.refreshToken;
  const jti = settings.jti === true ? {} : settings.jti;
  const access = { use: 'access', name: settings.accessToken?.name ?? name, lifetime: settings.accessToken?.expires ?? expires };
  return {
    ...settings,
    algorithm,
    clockTolerance,
    access,
    refresh: refresh && { use: 'refresh', name: refresh.name ?? `${name}-refresh`, lifetime: refresh.expires ?? 2592000 },
    rotate: refresh?.rotate ?? true,
    jtiUse: jti && (jti.tokenUse ?? (refresh ? 'refresh' : 'access')),
  };
}

const covers = (config, use) => config.jtiUse === use || config.jtiUse === 'both';

function secretsOf(config, env) {
  const list = [config.secrets ?? []].flat();
  const current = [env.SESSION_SECRET, config.secret, list[0]].filter(Boolean).slice(0, 1);
  const previous = [env.SESSION_SECRET_PREVIOUS, config.previousSecret, config.previousSecrets, list.slice(1)];
  return [...current, ...previous.flat().filter(Boolean)];
}

const encode = (value) => Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
const mac = (text, secret, algorithm) => createHmac(HASHES[algorithm], secret).update(text).digest();

function sign(claims, secret, algorithm) {
  const text = `${encode({ alg: algorithm, typ: 'JWT' })}.${encode(claims)}`;
  return `${text}.${mac(text, secret, algorithm).toString('base64url')}`;
}

function opened(token, config, secrets) {
  const parts = token.split('.');
  if (parts.length !== 3 || !parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part))) throw new Refused('MALFORMED');
  const header = JSON.parse(Buffer.from(parts[0], 'base64url').toString('utf8'));
  if (header.alg !== config.algorithm || (header.typ && header.typ !== 'JWT')) throw new Refused('HEADER');
  const given = Buffer.from(parts[2], 'base64url');
  const good = secrets.some((secret) => {
    const made = mac(`${parts[0]}.${parts[1]}`, secret, config.algorithm);
    return made.length === given.length && timingSafeEqual(made, given);
  });
  if (!good) throw new Refused('FORGED');
  return JSON.parse(Buffer.from(parts[1], 'base64url').toString('utf8'));
}

function judged(token, policy, config, { secrets, now, revoked }) {
  const claims = opened(token, config, secrets);
  const { clockTolerance: tolerance } = config;
  if (typeof claims.exp !== 'number') throw new Refused('CLAIM');
  if (claims.exp <= now - tolerance) throw new Refused('EXPIRED');
  if (typeof claims.nbf === 'number' && claims.nbf > now + tolerance) throw new Refused('CLAIM');
  if (typeof claims.iat === 'number' && claims.exp - claims.iat > policy.lifetime + tolerance) throw new Refused('CLAIM');
  if (config.issuer && claims.iss !== config.issuer) throw new Refused('CLAIM');
  if (config.audience && ![claims.aud].flat().some((name) => [config.audience].flat().includes(name))) throw new Refused('CLAIM');
  const use = claims.token_use ?? (policy.use === 'access' ? 'access' : undefined);
  if (config.refresh && use !== policy.use) throw new Refused('CLAIM');
  if (covers(config, policy.use) && (!claims.jti || revoked.includes(claims.jti))) throw new Refused('REVOKED');
  return claims;
}

function loaded(cookies, config, context) {
  const { access, refresh } = config;
  if (cookies[access.name]) {
    try {
      return { claims: judged(cookies[access.name], access, config, context), use: 'access' };
    } catch (fault) {
      if (fault.code !== 'EXPIRED' || !refresh) throw fault;
    }
  }
  if (refresh && cookies[refresh.name]) return { claims: judged(cookies[refresh.name], refresh, config, context), use: 'refresh' };
  return { claims: null, use: null };
}

function written(session, policies, config, { secrets, now }) {
  const cookies = {};
  for (const { use, name, lifetime } of policies) {
    const claims = { ...session, iat: now, nbf: now, exp: now + lifetime };
    if (config.issuer) claims.iss = config.issuer;
    if (config.audience) claims.aud = config.audience;
    if (config.refresh) claims.token_use = use;
    if (covers(config, use)) claims.jti = randomUUID();
    cookies[name] = sign(claims, secrets[0], config.algorithm);
  }
  return cookies;
}

// One request: the session that the cookies stand for, changed by ``set``, and the cookies of the answer.
function answer({ settings = {}, env = {}, now, cookies = {}, set = {}, revoked = [] }) {
  const config = resolved(settings);
  const context = { secrets: secretsOf(config, env), now, revoked };
  let found = { claims: null, use: null };
  let rejected = null;
  try {
    found = loaded(cookies, config, context);
  } catch (fault) {
    rejected = fault.code ?? String(fault);
  }
  const fresh = { id: randomUUID(), sid: randomUUID(), creator: 'SessionJWT' };
  const claims = found.claims ?? fresh;
  const kept = Object.entries(claims).filter(([name]) => !RESERVED.has(name));
  const session = { ...Object.fromEntries(kept), ...set };
  const policies = [config.access, config.refresh].filter(Boolean);
  const changed = Object.keys(set).length > 0;
  const due = policies.filter(({ use }) => changed || (found.use === 'refresh' && (use === 'access' || config.rotate)));
  return { session, rejected, refreshed: found.use === 'refresh', cookies: written(session, due, config, context) };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}
