use super::*;

const FOREIGN: [(&str, &str); 44] = [
    ("deu", "Guten Tag, ich warte seit drei Wochen auf meine Rückerstattung und niemand antwortet mir. Was soll das?"),
    ("deu", "Meine Bestellung ist nie angekommen, bitte um Hilfe"),
    ("deu", "App startet nicht mehr seit Update"),
    ("deu", "Wann kommt mein Paket endlich an?"),
    ("fra", "Bonjour, je n'arrive plus à me connecter à mon compte depuis hier soir. Pouvez-vous m'aider ?"),
    ("fra", "Toujours aucune nouvelle de ma commande, c'est inadmissible"),
    ("fra", "Je voudrais annuler mon abonnement"),
    ("fra", "Merci beaucoup pour votre aide rapide"),
    ("spa", "Hola, me han cobrado dos veces el mismo pedido y quiero que me devuelvan el dinero hoy mismo."),
    ("spa", "No puedo entrar en mi cuenta desde ayer"),
    ("spa", "Necesito la factura de marzo por favor"),
    ("ita", "Buongiorno, il pacco risulta consegnato ma non ho ricevuto nulla. Potete verificare?"),
    ("ita", "Non riesco ad accedere al mio account"),
    ("ita", "Grazie mille, problema risolto in pochi minuti"),
    ("por", "Olá, o meu cartão foi cobrado duas vezes e ninguém responde aos meus e-mails."),
    ("por", "Não consigo acessar minha conta desde ontem"),
    ("por", "Quero cancelar a minha assinatura agora"),
    (
        "nld",
        "Goedemiddag, ik heb nog steeds geen reactie gekregen op mijn vorige bericht. Wanneer krijg ik mijn geld terug?",
    ),
    ("nld", "Mijn bestelling is nog niet aangekomen"),
    ("nld", "De app werkt niet meer sinds gisteren"),
    ("pol", "Dzień dobry, od tygodnia czekam na zwrot pieniędzy i nikt nie odpowiada na moje wiadomości."),
    ("pol", "Nie mogę się zalogować na swoje konto"),
    ("swe", "Hej, jag har fortfarande inte fått mitt paket och ingen svarar i telefonen."),
    ("dan", "Jeg kan ikke logge ind på min konto siden i går"),
    ("fin", "En ole saanut tilaustani vielä, missä se on?"),
    ("tur", "Merhaba, siparişim hâlâ gelmedi ve kimse cevap vermiyor."),
    ("ces", "Dobrý den, už týden nemůžu přihlásit do svého účtu, prosím o pomoc."),
    ("ron", "Bună ziua, nu am primit comanda și nimeni nu răspunde la telefon."),
    ("hun", "Jó napot, a rendelésem még mindig nem érkezett meg, kérem segítsenek."),
    ("ind", "Saya tidak bisa masuk ke akun saya sejak kemarin, tolong bantu"),
    ("vie", "Xin chào, tôi chưa nhận được đơn hàng của mình và không ai trả lời."),
    ("rus", "Здравствуйте, у меня дважды списали деньги за один заказ, верните их, пожалуйста."),
    ("rus", "Не могу войти в свой аккаунт"),
    ("ukr", "Добрий день, я досі не отримав своє замовлення, допоможіть будь ласка."),
    ("ell", "Καλημέρα, δεν έχω λάβει ακόμα την παραγγελία μου, τι γίνεται;"),
    ("jpn", "注文した商品がまだ届きません。確認していただけますか。"),
    ("jpn", "iPhone のアプリが起動しなくなりました"),
    ("cmn", "我的订单三个星期还没有到,请马上退款。"),
    ("kor", "주문한 상품이 아직 도착하지 않았습니다. 확인 부탁드립니다."),
    ("ara", "مرحبا، لم أستلم طلبي حتى الآن ولا أحد يرد على رسائلي."),
    ("heb", "שלום, עדיין לא קיבלתי את ההזמנה שלי ואף אחד לא עונה."),
    ("hin", "नमस्ते, मेरा ऑर्डर अभी तक नहीं आया है, कृपया मदद करें।"),
    ("tha", "สวัสดีค่ะ ยังไม่ได้รับสินค้าที่สั่งเลย ช่วยตรวจสอบให้หน่อย"),
    ("ben", "আমি এখনও আমার অর্ডার পাইনি, দয়া করে সাহায্য করুন।"),
];

#[test]
fn foreign_tickets_are_not_supported() {
    let missed: Vec<_> = FOREIGN.iter().filter(|(_, text)| detect(text, None).supported).collect();
    assert!(missed.len() * 20 <= FOREIGN.len(), "{missed:?}");
}

#[test]
fn foreign_tickets_are_named() {
    let wrong: Vec<_> = FOREIGN
        .iter()
        .map(|(code, text)| (*code, detect(text, None).code, *text))
        .filter(|(code, found, _)| code != found)
        .collect();
    assert!(wrong.len() * 5 <= FOREIGN.len(), "{wrong:?}");
}

#[test]
fn short_english_is_english() {
    for text in [
        "Wrong size sent. Ordered a 12, got an 8.",
        "DM sent",
        "Refund?",
        "ok cheers",
        "app down again",
        "Seriously guys",
        "Card declined in Lisbon",
        "Screen flickers, battery drains, camera dead",
        "Parcel LK-2209418 marked delivered",
        "pls fix asap",
        "Café Müller order 4471 is late",
        "My name is José Núñez and I can't log in",
        "The error says \"Zugriff verweigert\" and then it quits",
    ] {
        assert!(detect(text, None).supported, "{text}");
    }
}

#[test]
fn nothing_to_read_is_undetermined() {
    for text in ["", "  \n", "12345", "👍👍", "https://example.com/a", "???"] {
        assert_eq!(detect(text, None), UNDETERMINED, "{text}");
    }
}

#[test]
fn the_locale_decides_only_where_the_text_does_not() {
    assert_eq!(detect("Hilfe dringend", Some("de-AT")).code, "deu");
    assert_eq!(detect("Hilfe dringend", None).code, "und");
    assert!(detect("Where is my order?", Some("de")).supported);
    assert!(!detect("Wo ist meine Bestellung geblieben?", Some("en-GB")).supported);
    assert!(detect("Broken", Some("en")).supported);
    assert!(detect("Broken", Some("not a locale")).supported);
}
