-- Moderated retraction in version 1 of its namespace (XEP-0425), which Prosody 0.12 and prosody-modules of Debian 12 do not
-- have: moderators only, no tombstone in the archive.
local id = require "util.id";
local st = require "util.stanza";

local muc = module:depends "muc";
local xmlns_moderate = "urn:xmpp:message-moderate:1";
local xmlns_retract = "urn:xmpp:message-retract:1";

module:hook("muc-disco#info", function (event)
	event.reply:tag("feature", { var = xmlns_moderate }):up();
end);

module:hook("iq-set/bare/" .. xmlns_moderate .. ":moderate", function (event)
	local stanza, origin = event.stanza, event.origin;
	local room = muc.get_room_from_jid(stanza.attr.to);
	local nick = room and room:get_occupant_jid(stanza.attr.from);
	if not nick or room:get_role(nick) ~= "moderator" then
		origin.send(st.error_reply(stanza, "auth", "forbidden"));
		return true;
	end
	local moderate = stanza.tags[1];
	local message = st.message({ from = room.jid, type = "groupchat", id = id.medium() })
		:tag("retract", { xmlns = xmlns_retract, id = moderate.attr.id })
			:tag("moderated", { xmlns = xmlns_moderate, by = nick }):up();
	local reason = moderate:get_child_text("reason");
	if reason then
		message:text_tag("reason", reason);
	end
	room:broadcast_message(message:reset());
	origin.send(st.reply(stanza));
	return true;
end);
