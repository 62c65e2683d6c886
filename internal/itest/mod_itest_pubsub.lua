-- Lets everybody create nodes in the pubsub service, as public services do; mod_pubsub of Prosody 0.12 lets its admins only.
-- The capabilities are copied, since all services and accounts share them.
local config = module:depends("pubsub").service.config;
local capabilities = {};
for affiliation, rights in pairs(config.capabilities) do
	capabilities[affiliation] = {};
	for action, allowed in pairs(rights) do
		capabilities[affiliation][action] = allowed;
	end
end
capabilities.member.create = true;
config.capabilities = capabilities;
