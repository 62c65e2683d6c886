// What a test does with Converse.js: it presses the buttons that a person presses and reads what a person reads.
import converse from "/dist/converse.min.js";

const drive = (window.drive = {});

// until calls look again and again until it returns something.
drive.until = async (what, look) => {
    const end = Date.now() + 25000;
    for (;;) {
        const found = await look();
        if (found) return found;
        if (Date.now() > end) throw new Error("waited in vain for " + what);
        await new Promise((resolve) => setTimeout(resolve, 40));
    }
};

// login starts Converse.js and returns the bound address once it is connected.
drive.login = async (settings) => {
    let connected;
    const ready = new Promise((resolve) => (connected = resolve));
    converse.plugins.add("itest", {
        initialize() {
            drive.api = this._converse.api;
            drive.api.listen.on("connected", connected);
        },
    });
    converse.initialize(settings); // ends only when all is loaded
    await ready;
    await drive.until("chat boxes", () => document.querySelector("converse-chats"));
    return drive.api.connection.get().jid;
};

// open shows the chat with an address.
drive.open = async (jid) => {
    await drive.api.chats.open(jid, {}, true);
    await drive.until("text field of " + jid, () => drive.field(jid));
};

drive.view = (jid) => [...document.querySelectorAll("converse-chat, converse-muc")].find((v) => v.getAttribute("jid") === jid);
drive.field = (jid) => drive.view(jid)?.querySelector("textarea.chat-textarea");
drive.focus = (jid) => drive.field(jid).focus();

// join enters a room.
drive.join = async (jid, nick) => {
    await drive.api.rooms.open(jid, { nick, auto_configure: true }, true);
    await drive.until("text field of " + jid, () => drive.field(jid));
};

// message reads one message as it is shown.
drive.message = (el) => ({
    id: el.dataset.msgid || "",
    from: el.dataset.from || "",
    own: !!el.querySelector(".chat-msg__content--me"),
    text: (el.querySelector(".chat-msg__text")?.innerText || "").trim(),
    edited: !!el.querySelector(".chat-msg__edit-modal"),
    retracted: !!el.querySelector(".chat-msg--retracted") || el.classList.contains("chat-msg--retracted"),
    received: !!el.querySelector(".chat-msg__receipt"),
    reply: el.querySelector(".chat-msg__reply-text")?.innerText || "",
    error: el.querySelector(".chat-msg__error")?.innerText || "",
    reactions: [...el.querySelectorAll(".chat-msg__reaction")].map((b) => b.textContent.trim().split(/\s+/)[0]),
    links: [...el.querySelectorAll(".chat-msg__text a")].map((a) => a.href),
    images: [...el.querySelectorAll("img.chat-image")].map((i) => i.src),
});

drive.elements = (jid) => [...(drive.view(jid)?.querySelectorAll(".chat-msg") || [])];
drive.messages = (jid) => drive.elements(jid).map(drive.message);
drive.typing = (jid) => drive.view(jid)?.querySelector(".chat-content__notifications")?.innerText.trim() || "";

// press opens the menu of a message that has the id and presses one of its buttons.
drive.press = async (jid, id, action) => {
    const el = await drive.until("message " + id, () => drive.elements(jid).find((e) => e.dataset.msgid === id));
    const menu = await drive.until("menu of " + id, () => el.querySelector("converse-message-actions .dropdown-toggle"));
    menu.click();
    const button = await drive.until("button " + action, () => el.querySelector(".chat-msg__action-" + action));
    button.click();
    if (menu.getAttribute("aria-expanded") === "true") menu.click();
    return el;
};

drive.edit = async (jid, id) => {
    await drive.press(jid, id, "edit");
    const field = await drive.until("text to edit", () => drive.field(jid)?.value && drive.field(jid));
    field.focus();
    field.select();
};

drive.reply = async (jid, id) => {
    await drive.press(jid, id, "reply");
    drive.focus(jid);
};

drive.react = async (jid, id, emoji) => {
    const el = await drive.press(jid, id, "reaction");
    const buttons = () => [...el.querySelectorAll("converse-reaction-picker button.reaction-item")];
    const button = await drive.until("button of " + emoji, () => buttons().find((b) => b.textContent.trim() === emoji));
    button.click();
};

drive.retract = async (jid, id) => {
    await drive.press(jid, id, "retract");
    const confirm = await drive.until("question", () => document.querySelector("converse-confirm-modal .btn-primary, #converse-modals .modal.show .btn-primary"));
    confirm.click();
};
